/** A difference is accepted only if users can read about it */

import fs from 'node:fs'
import path from 'node:path'
import { expect } from 'aegir/chai'
import { ACCEPTED } from './compare.ts'

const DOCUMENT = fs.readFileSync(path.join(import.meta.dirname, '../../docs/differences.md'), 'utf-8').replaceAll(/\n +/g, ' ')

describe('the differences that the differential fuzz accepts', () => {
  ACCEPTED.forEach(({ documented }) => {
    it(documented, () => {
      expect(DOCUMENT).to.include(documented)
    })
  })
})
