-- Wire contract 2.6.
SELECT pg_notify('good_job', $1::text);
