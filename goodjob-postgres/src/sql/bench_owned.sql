-- Whether these processes still own a job. Asked when every body has run: what is owned then is what is not
-- written down yet. Reads the few rows of one index, so that asking does not slow down what it waits for.
-- IS NOT NULL says what the index is made for: = ANY alone does not lead to it.
SELECT EXISTS (SELECT FROM good_jobs WHERE locked_by_id = ANY($1::uuid[]) AND locked_by_id IS NOT NULL) AS owned;
