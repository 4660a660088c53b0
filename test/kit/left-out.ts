/**
 * Prints at the end of a run which tests were left out, because this machine can't do what they
 * need. With LEAVE_NOTHING_OUT=true in the environment this is an error
 */
export const mochaHooks: Mocha.RootHookObject = {
  afterAll (this: Mocha.Context) {
    const leftOut: string[] = []
    this.test?.parent?.eachTest(test => {
      if (test.isPending()) {
        leftOut.push(test.fullTitle())
      }
    })

    if (leftOut.length > 0) {
      const text = `${leftOut.length} tests were left out:\n${leftOut.map(title => `- ${title}\n`).join('')}`

      if (process.env.LEAVE_NOTHING_OUT === 'true') {
        throw new Error(text)
      }

      process.stderr.write(`\n${text}`)
    }
  }
}
