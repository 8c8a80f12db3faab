-- Whether the table is in use: then an index is built without locking writers out.
SELECT EXISTS (SELECT FROM good_jobs) AS in_use;
