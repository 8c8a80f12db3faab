-- Tail of actions that nobody has to be told of. A job that fits and was not written is in somebody's
-- hands; one that is not among the rows does not exist.
SELECT s.id, s.fits, w.id IS NOT NULL AS done
FROM seen s LEFT JOIN written w ON w.id = s.id;
