// Renders the LuCI view with stubs for the LuCI modules that it uses, and prints the page's text.
//
//   node luci.js VIEW UCI_CONFIG ACL [STATUS]    STATUS: output of `lapwing-agent status --json`. Default: no agent runs
//
// Fails if the view runs a command that its ACL does not allow, or uses an option missing from the configuration file.
'use strict';
const { readFileSync } = require('fs');
const [ view, config, acl, status ] = process.argv.slice(2);
const report = status ? JSON.parse(readFileSync(status, 'utf8')) : null;
const { read, write } = JSON.parse(readFileSync(acl, 'utf8'))['luci-app-lapwing'];
const allowed = commands => (program, words) => {
	const line = [ program, ...words ].join(' ');
	if (!commands.file[line]?.includes('exec'))
		throw new Error('the ACL does not allow: ' + line);
};
const settings = new Set([ ...readFileSync(config, 'utf8').matchAll(/^\s*#?(?:option|list) (\w+) /gm) ].map(match => match[1]));

// LuCI's String.format; the view uses only %s, %d and %.1f.
String.prototype.format = function(...values) {
	return this.replace(/%(?:\.(\d))?([sdf%])/g, (_, digits, kind) => kind == '%' ? '%' :
		kind == 'f' ? Number(values.shift()).toFixed(digits) : String(values.shift()));
};
class Node {
	constructor(name, attributes, children) {
		Object.assign(this, { name, attributes, children: [ children ?? [] ].flat() });
	}
	replaceChildren(...children) { this.children = children; }
	text() { return this.children.map(child => child instanceof Node ? child.text() : String(child)).join('\n'); }
}
const scope = {
	view: { extend: page => page },
	fs: {
		exec_direct: (program, words) => {
			allowed(read)(program, words);
			return report ? Promise.resolve(report) : Promise.reject(new Error('no agent answers'));
		},
		exec: (program, words) => Promise.resolve(allowed(write)(program, words))
	},
	form: {
		Map: class {
			section() {
				return { option: (kind, name) => {
					if (!settings.has(name))
						throw new Error('the configuration file has no option ' + name);
					return { value() {} };
				} };
			}
			render() { return Promise.resolve(new Node('form', {}, [])); }
		}
	},
	poll: { add: refresh => scope.refresh = refresh },
	ui: { createHandlerFn: (_, handler) => scope.press = handler },
	widgets: {},
	E: (name, attributes, children) => new Node(name, attributes, children),
	_: text => text
};
const names = [ 'view', 'form', 'fs', 'poll', 'ui', 'widgets', 'E', '_' ];

(async () => {
	const page = new Function(...names, readFileSync(view, 'utf8'))(...names.map(name => scope[name]));
	const shown = await page.render(await page.load());
	const before = shown.text();
	await scope.refresh();
	await scope.press();
	if (shown.text() != before)
		throw new Error('the page changed on refresh with the same status');
	console.log(before);
})().catch(error => { console.error(error); process.exit(1); });
