'use strict';
'require view';
'require form';
'require fs';
'require poll';
'require ui';
'require tools.widgets as widgets';

/* Status and alerts of the running agent, refreshed every five seconds, above its settings. E() turns strings into text
 * nodes, so the agent's output is never parsed as HTML. */

const AGENT = '/usr/sbin/lapwing-agent';
const SOCKET = '/var/run/lapwing/agent.sock';

function fetchStatus() {
	return fs.exec_direct(AGENT, [ 'status', '--json', '--socket', SOCKET ], 'json').catch(() => null);
}

function row(name, value) {
	return E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left', 'width': '33%' }, [ name ]),
		E('td', { 'class': 'td left' }, [ String(value) ])
	]);
}

function release(report) {
	if (!report.release)
		return _('none');
	return report.release + (report.on_trial ? ' ' + _('(on trial)') : '') +
		(report.learning ? ' ' + _('(still learning normal traffic)') : '');
}

function interfaces(report) {
	return (report.interfaces || []).map(i => '%s: %s, %d %s, %d %s'.format(
		i.name, i.link, i.packets, _('packets'), i.dropped, _('dropped'))).join('; ') || _('none');
}

function alertRow(alert) {
	const since = alert.since_s ? new Date(alert.since_s * 1000).toLocaleString() : '-';
	const short = number => Number(Number(number).toPrecision(3));
	const reasons = (alert.reasons || []).map(r => _('%s %s %s (normally %s to %s)').format(
		r.feature, short(r.value), r.unit, short(r.normal_low), short(r.normal_high)).replace('  ', ' ')).join(', ');
	return E('tr', { 'class': 'tr' }, [ alert.host, alert.role, alert.state, since, reasons ].map(
		text => E('td', { 'class': 'td left' }, [ String(text ?? '-') ])));
}

function render(report) {
	if (!report)
		return [ E('p', {}, [ _('The agent is not running. See the system log (logread -e lapwing) for the reason.') ]) ];
	const nodes = [ E('table', { 'class': 'table' }, [
		row(_('Version'), report.agent_version),
		row(_('Interfaces'), interfaces(report)),
		row(_('Packets per second'), Math.round(report.packets_per_second)),
		row(_('Coverage'), report.coverage_degraded || _('good')),
		row(_('Share of flows metered'), '%.1f %%'.format(report.sampled_permille / 10)),
		row(_('Flow table'), '%d / %d'.format(report.flows.held, report.flows.capacity)),
		row(_('Release'), release(report)),
		row(_('Updates'), report.updates || '-'),
		row(_('Broker'), report.connection)
	]) ];
	const alerts = report.last_alerts || [];
	nodes.push(E('h3', {}, [ _('Recent alerts') ]));
	nodes.push(alerts.length ? E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, [ _('Host'), _('Role'), _('State'), _('Since'), _('Reasons') ].map(
			title => E('th', { 'class': 'th left' }, [ title ])))
	].concat(alerts.map(alertRow))) : E('p', {}, [ _('No alerts since the agent started.') ]));
	return nodes;
}

return view.extend({
	load: function() {
		return fetchStatus();
	},

	render: function(report) {
		const status = E('div', { 'class': 'cbi-section' }, render(report));
		const map = new form.Map('lapwing', _('Lapwing'),
			_('Watches packets, learns normal traffic, and reports hosts that behave anomalously.'));
		const settings = map.section(form.NamedSection, 'main', 'agent', _('Settings'));
		settings.anonymous = true;
		let option = settings.option(form.Flag, 'enabled', _('Enabled'));
		option.default = '1';
		option.rmempty = false;
		option = settings.option(widgets.DeviceSelect, 'interface', _('Interfaces'),
			_('Do not select both a bridge and one of its ports. None selected: the agent finds the LAN bridge.'));
		option.multiple = true;
		option.noaliases = true;
		option = settings.option(form.Value, 'broker', _('Broker'),
			_('E.g. mqtts://user:password@host:8883. Empty: disabled, nothing leaves this router.'));
		option.password = true;
		option.validate = (id, value) => !value || /^mqtts?:\/\/\S+$/.test(value) || _('Expected mqtts://… or mqtt://…');
		option = settings.option(form.DynamicList, 'more_brokers', _('Further brokers'),
			_('Of the same site, at most 3; used if the agent cannot reach the one that its name determines.'));
		option.validate = (id, value) => !value || /^mqtts?:\/\/\S+$/.test(value) || _('Expected mqtts://… or mqtt://…');
		option = settings.option(form.Value, 'token', _('Enrolment token'),
			_('Of lapwing-trainer enroll; brings broker, name, site and keys. Remove it once the status shows a connection.'));
		option.password = true;
		option.validate = (id, value) => !value || /^lapwing1\.\S+$/.test(value) || _('Expected lapwing1.…');
		option = settings.option(form.ListValue, 'addresses', _('Addresses in alerts'));
		option.value('plain', _('As they are'));
		option.value('pseudonym', _('Pseudonyms; the key stays on this router'));
		option.value('none', _('Hidden'));
		option.default = 'plain';
		option = settings.option(form.DynamicList, 'key', _('Signing keys'),
			_('Files with public keys that may sign releases.'));
		option.datatype = 'file';
		option = settings.option(form.DynamicList, 'rollout_key', _('Rollout keys'),
			_('Files with public keys that may sign rollouts, for agents without a root document.'));
		option.datatype = 'file';
		option = settings.option(form.ListValue, 'update_channel', _('New releases'));
		option.value('early', _('Among the first'));
		option.value('normal', _('With the site'));
		option.value('late', _('Among the last'));
		option.default = 'normal';
		option = settings.option(form.Flag, 'update_hold', _('Hold updates'),
			_('Install nothing new. A withdrawn release is replaced nevertheless.'));
		option = settings.option(form.Value, 'update_pin', _('Pinned version'),
			_('The only version that this agent installs. Empty: as the trainer determines.'));
		option.datatype = 'min(1)';
		option = settings.option(form.ListValue, 'update_assignment', _('Settings from the trainer'),
			_('It may determine the three settings above and the false alerts that you accept. A hold on this router stays.'));
		option.value('accept', _('Accept'));
		option.value('ignore', _('Ignore'));
		option.default = 'accept';
		option = settings.option(form.Value, 'alerts_per_day', _('False alerts per day that you accept'));
		option.datatype = 'and(ufloat,range(0.001,1000))';
		option.default = '1';
		poll.add(() => fetchStatus().then(fresh => status.replaceChildren(...render(fresh))), 5);
		return map.render().then(settings => E('div', {}, [ E('h2', {}, [ _('Status') ]), status, E('button', {
			'class': 'btn',
			'click': ui.createHandlerFn(this, () => fs.exec(AGENT, [ 'test-alert', '--socket', SOCKET ]))
		}, [ _('Send a test alert') ]), settings ]));
	}
});
