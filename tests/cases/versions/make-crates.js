// Writes crates.txt with npm's own semver, which orders as Cargo does: `node make-crates.js PATH/TO/node_modules/semver > crates.txt`
const path = require('path')
const semver = require(path.resolve(process.argv[2]))
const { version } = require(path.resolve(process.argv[2], 'package.json'))

const fixed = `1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.0+build
  1.0.0+other.5 0.0.0-0 0.0.0 0.3.0-pre.1 0.3.0 0.10.0 0.9.9 1.0.0-- 1.0.0-a-b 1.0.0-1.a 1.0.0-a.1 1.0.0-A 1.0.0-a 1.0.0-10
  1.0.0-9 1.0.0-9a 1.0 1 1.0.0.0 01.0.0 1.02.3 1.0.0- 1.0.0+ 1.0.0-a..b 1.0.0-00 1.0.0-01 1.0.0-a_b 1.0.0-é x.1.2 1.x.0 1.0.0beta`.split(/\s+/)
let seed = 20261125
const pick = list => list[(seed = (seed * 1103515245 + 12345) % 2147483648) % list.length]
const some = () => [pick(['0', '1', '2', '10', '01', '']), '.', pick(['0', '1', '9', '10']), '.', pick(['0', '3', '12', 'x']),
  pick(['', '', '-alpha', '-beta.2', '-beta.10', '-1', '-1.a', '-a.1', '-rc.01', '-A.b', '-2.gat.1']),
  pick(['', '', '+1', '+a.b', '+'])].join('')
const all = [...fixed, ...Array.from({ length: 300 }, some)]

const lines = new Set(all.filter(one => !semver.valid(one)).map(one => `${one} !`))
const versions = all.filter(one => semver.valid(one))
for (let at = 1; at < versions.length; at++) {
  const [a, b] = [versions[at - 1], versions[at]]
  const order = semver.compare(a, b)
  lines.add(order === 0 ? `${a} = ${b}` : order < 0 ? `${a} < ${b}` : `${b} < ${a}`)
}
console.log("# Order of crates' versions (Semantic Versioning 2.0.0): `A < B`, `A = B`, or `A !` for what is none.")
console.log(`# Made by make-crates.js with node-semver ${version}.`)
for (const line of lines) console.log(line)
