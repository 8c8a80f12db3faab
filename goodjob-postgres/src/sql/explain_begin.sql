-- Opens the transaction of an explanation: one picture of the tables for all of its questions, and a promise
-- that nothing is written.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
