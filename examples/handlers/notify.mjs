#!/usr/bin/env node
// NotifyJob(user_id:, text:) in JavaScript. An exception ends node with exit code 1 and a stack on
// stderr, which is all that a retry needs.

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { id, attempt, max_attempts, kwargs } = JSON.parse(input);

if (!Number.isInteger(kwargs.user_id)) {
  console.error(`user_id is ${JSON.stringify(kwargs.user_id)}, expected a number`);
  process.exit(65); // EX_DATAERR: never again
}
if (kwargs.text === undefined) throw new TypeError("no text");

console.error(`attempt ${attempt} of ${max_attempts}`);
// The id is the same at every attempt: send it along, and a second delivery can be told apart.
console.log(JSON.stringify({ notified: kwargs.user_id, idempotency_key: id }));
