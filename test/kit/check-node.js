/**
 * Says what to do if this Node can't run TypeScript. Plain JavaScript, so that an old Node can
 * run this file. It runs before something else: `node --import ./test/kit/check-node.js …`
 */
if (!process.features.typescript) {
  process.stderr.write(`This needs Node 22.18 or newer, and this is Node ${process.versions.node}.
npm installs a current Node as the package "node", but its install script did not run.
Run it, then try again: npm rebuild node --ignore-scripts=false
`)
  process.exit(1)
}
