-- One migration at a time in a database. The number is goodjob's own and means nothing else.
SELECT pg_advisory_lock(7301482003911);
