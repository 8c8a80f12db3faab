-- Whether these processes still own a job. Asked when every body has run: what is owned then is what is not
-- written down yet. Reads the few rows of one index, so that asking does not slow down what it waits for.
SELECT EXISTS (SELECT FROM good_jobs WHERE locked_by_id = ANY($1::uuid[])) AS owned;
