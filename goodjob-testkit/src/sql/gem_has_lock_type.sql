-- A gem from 4.15 on that finds no such column takes every strategy for `advisory` (wire contract 1.8).
SELECT EXISTS (
  SELECT FROM pg_attribute
  WHERE attrelid = 'good_jobs'::regclass AND attname = 'lock_type' AND NOT attisdropped
) AS found;
