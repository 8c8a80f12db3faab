-- Lets the next migration in.
SELECT pg_advisory_unlock(7301482003911);
