-- Whether there is an index by which lanes are read, and it can be used. Judged by what it covers: where an
-- application's own migration made it, it may have another name.
SELECT EXISTS (
  SELECT FROM pg_index i
  WHERE i.indrelid = to_regclass('good_jobs') AND i.indisvalid
    AND pg_get_indexdef(i.indexrelid) ~ '\(queue_name, priority, scheduled_at, id\)( INCLUDE \(job_class\))? WHERE'
    AND pg_get_expr(i.indpred, i.indrelid) = '((finished_at IS NULL) AND (locked_by_id IS NULL))');
