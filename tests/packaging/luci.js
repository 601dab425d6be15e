// Runs LuCI's view over stand-ins for LuCI's modules, as far as the view calls them, and prints the page's text.
//
//   node luci.js VIEW UCI_CONFIG ACL [STATUS]    STATUS: what `lapwing-agent status --json` said; without it no agent runs
//
// Fails where the view asks for a program that its ACL does not allow, or for a setting that the configuration's file
// does not name.
'use strict';
const { readFileSync } = require('fs');
const [ view, config, acl, status ] = process.argv.slice(2);
const told = status ? JSON.parse(readFileSync(status, 'utf8')) : null;
const { read, write } = JSON.parse(readFileSync(acl, 'utf8'))['luci-app-lapwing'];
const allowed = commands => (program, words) => {
	const line = [ program, ...words ].join(' ');
	if (!commands.file[line]?.includes('exec'))
		throw new Error('the ACL does not allow: ' + line);
};
const settings = new Set([ ...readFileSync(config, 'utf8').matchAll(/^\s*#?(?:option|list) (\w+) /gm) ].map(found => found[1]));

// LuCI's own: %s, %d and %.1f are all that the view uses.
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
			return told ? Promise.resolve(told) : Promise.reject(new Error('no agent answers'));
		},
		exec: (program, words) => Promise.resolve(allowed(write)(program, words))
	},
	form: {
		Map: class {
			section() {
				return { option: (kind, name) => {
					if (!settings.has(name))
						throw new Error('no such setting: ' + name);
					return {};
				} };
			}
			render() { return Promise.resolve(new Node('form', {}, [])); }
		}
	},
	poll: { add: again => scope.again = again },
	ui: { createHandlerFn: (_, handler) => scope.pressed = handler },
	widgets: {},
	E: (name, attributes, children) => new Node(name, attributes, children),
	_: text => text
};
const names = [ 'view', 'form', 'fs', 'poll', 'ui', 'widgets', 'E', '_' ];

(async () => {
	const page = new Function(...names, readFileSync(view, 'utf8'))(...names.map(name => scope[name]));
	const shown = await page.render(await page.load());
	const before = shown.text();
	await scope.again();
	await scope.pressed();
	if (shown.text() != before)
		throw new Error('the page differs when it is drawn again from the same status');
	console.log(before);
})().catch(error => { console.error(error); process.exit(1); });
