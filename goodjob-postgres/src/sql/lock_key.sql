-- The key of a lock's name. Fails where the hash function needs an extension that is not there.
SELECT ('x' || substr(md5($1::text), 1, 16))::bit(64)::bigint AS key;
