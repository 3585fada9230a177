// Answers questions with scim-patch: a line {"before", "operation"} in, a line
// {"after"} or {"error"} out.
import { createInterface } from 'node:readline'
import { scimPatch } from 'scim-patch'

for await (const line of createInterface({ input: process.stdin })) {
  const { before, operation } = JSON.parse(line)
  let answer
  try {
    answer = { after: scimPatch(before, [operation], { mutateDocument: true, treatMissingAsAdd: true }) }
  } catch (error) {
    answer = { error: error.scimCode ?? error.constructor.name }
  }
  console.log(JSON.stringify(answer))
}
