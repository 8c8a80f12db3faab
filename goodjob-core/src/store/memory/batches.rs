//! Batches in memory. The lock of every batch is that of all rows.

use async_trait::async_trait;

use super::{MemoryStore, Rows, check};
use crate::batch::{
    BatchEnd, BatchLook, BatchQuery, BatchRecord, BatchSpec, BatchStore, BatchSummary, Callbacks,
    NewBatch, RetriedBatch, Sight, progress,
};
use crate::clock::Timestamp;
use crate::ids::{BatchId, JobId};
use crate::job::NewJob;
use crate::store::{Inserted, JobRecord, Retention, StoreError};

impl Rows {
    fn members(&self, batch: BatchId) -> impl Iterator<Item = &JobRecord> {
        self.jobs.values().filter(move |job| job.ties.batch == Some(batch))
    }

    fn callbacks(&self, batch: BatchId) -> impl Iterator<Item = &JobRecord> {
        self.jobs.values().filter(move |job| job.ties.batch_callback == Some(batch))
    }

    fn sight(&self, batch: &BatchRecord) -> Sight {
        let is_open = |job: &JobRecord| job.finished_at.is_none();
        let since = batch.enqueued_at.unwrap_or(Timestamp::MIN_UTC);
        Sight {
            open_jobs: self.members(batch.id).any(is_open),
            open_callbacks: self.callbacks(batch.id).any(is_open),
            errors: self
                .members(batch.id)
                .any(|job| job.error.is_some() && job.finished_at.is_some_and(|at| at >= since)),
        }
    }

    fn is_stuck(&self, batch: &BatchRecord) -> bool {
        let sight = self.sight(batch);
        match batch.are_jobs_finished() {
            true => !sight.open_callbacks,
            false => batch.is_enqueued() && !sight.open_jobs,
        }
    }

    /// Deletes finished batches that are old enough; returns how many.
    pub(super) fn clean_up_batches(
        &mut self,
        keep: &Retention,
        last: Timestamp,
        limit: usize,
    ) -> usize {
        let is_old = |batch: &BatchRecord| {
            batch.finished_at.is_some_and(|at| at <= last)
                && !(keep.keep_discarded && batch.is_discarded())
        };
        let old = self.batches.values().filter(|batch| is_old(batch)).map(|batch| batch.id);
        let old: Vec<BatchId> = old.take(limit).collect();
        old.iter().for_each(|id| drop(self.batches.remove(id)));
        old.len()
    }
}

impl MemoryStore {
    /// Stores a batch as another client of the same tables may have written it, whatever it holds.
    pub fn plant_batch(&self, row: BatchRecord) {
        self.rows().batches.insert(row.id, row);
    }

    /// Has one batch go on.
    fn go_on_with(
        &self,
        rows: &mut Rows,
        id: BatchId,
        discarded: bool,
        callbacks: &Callbacks,
    ) -> Result<(), StoreError> {
        let Some(batch) = rows.batches.get(&id).cloned() else { return Ok(()) };
        let next = progress(&batch, discarded, rows.sight(&batch));
        if next.is_none() {
            return Ok(());
        }
        let called: Result<Vec<Option<NewJob>>, _> =
            next.events.iter().map(|event| callbacks.call(&batch, *event)).collect();
        let called: Vec<NewJob> = called.map_err(rejected)?.into_iter().flatten().collect();
        let now = self.shared.clock.now();
        let set = |column: Option<Timestamp>, now_too: bool| column.or(now_too.then_some(now));
        let batch = BatchRecord {
            discarded_at: set(batch.discarded_at, next.discarded),
            jobs_finished_at: set(batch.jobs_finished_at, next.jobs_finished),
            finished_at: set(batch.finished_at, next.finished),
            updated_at: now,
            ..batch
        };
        rows.batches.insert(id, batch);
        self.put(rows, &called);
        Ok(())
    }

    /// Makes a discarded job due again, as a person does (wire contract 6.1).
    fn retry_job(&self, rows: &mut Rows, id: JobId) {
        let now = self.shared.clock.now();
        if let Some(job) = rows.jobs.get_mut(&id) {
            job.payload.count_retry(None);
            job.scheduled_at = Some(now);
            (job.performed_at, job.finished_at) = (None, None);
            job.error_event = Some(crate::store::ErrorEvent::Retried);
            self.notify(job, None);
        }
    }
}

fn rejected(unfit: crate::job::EnqueueError) -> StoreError {
    StoreError::Rejected { reason: unfit.to_string(), source: Some(unfit.into()) }
}

fn count<T>(rows: impl Iterator<Item = T>) -> u64 {
    rows.count() as u64
}

#[async_trait]
impl BatchStore for MemoryStore {
    async fn insert_batches(&self, batches: &[NewBatch]) -> Result<Vec<Inserted>, StoreError> {
        for batch in batches {
            check(&batch.jobs)?;
            check(&batch.callbacks)?;
        }
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        let mut answers = Vec::new();
        for batch in batches {
            rows.batches.entry(batch.id).or_insert_with(|| batch.as_record(now));
            answers.extend(self.put(&mut rows, &batch.jobs));
            self.put(&mut rows, &batch.callbacks);
        }
        Ok(answers)
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.rows().batches.get(&id).cloned())
    }

    async fn batches(&self, query: &BatchQuery) -> Result<Vec<BatchSummary>, StoreError> {
        let rows = self.rows();
        let order = |batch: &BatchRecord| (batch.created_at, batch.id);
        let after = query.after.map(|id| rows.batches.get(&id).map(order));
        let text = query.description.as_ref().map(|text| text.to_lowercase());
        let fits = |batch: &&BatchRecord| {
            let description = batch.spec.description.as_deref().unwrap_or_default().to_lowercase();
            query.id.is_none_or(|id| id == batch.id)
                && query.state.is_none_or(|state| state == batch.state())
                && text.as_ref().is_none_or(|text| description.contains(text.as_str()))
                && after.is_none_or(|after| after.is_some_and(|after| order(batch) < after))
        };
        let mut found: Vec<&BatchRecord> = rows.batches.values().filter(fits).collect();
        found.sort_by_key(|batch| std::cmp::Reverse(order(batch)));
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        let is_open = |job: &&JobRecord| job.finished_at.is_none();
        let summary = |batch: &BatchRecord| BatchSummary {
            state: batch.state(),
            batch: batch.clone(),
            jobs: count(rows.members(batch.id)),
            open_jobs: count(rows.members(batch.id).filter(is_open)),
            discarded_jobs: count(
                rows.members(batch.id)
                    .filter(|job| job.finished_at.is_some() && job.error.is_some()),
            ),
            callbacks: count(rows.callbacks(batch.id)),
            open_callbacks: count(rows.callbacks(batch.id).filter(is_open)),
        };
        Ok(found.into_iter().map(summary).collect())
    }

    async fn update_batch(&self, id: BatchId, spec: &BatchSpec) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        let Some(batch) = rows.batches.get_mut(&id) else { return Ok(false) };
        batch.spec = spec.clone();
        batch.updated_at = now;
        Ok(true)
    }

    async fn enqueue_batch(
        &self,
        id: BatchId,
        jobs: &[NewJob],
        callbacks: &Callbacks,
    ) -> Result<Option<Vec<Inserted>>, StoreError> {
        check(jobs)?;
        let now = self.shared.clock.now();
        let mut rows = self.rows();
        let Some(batch) = rows.batches.get_mut(&id) else { return Ok(None) };
        // What was discarded before the first time was told, and counts.
        batch.discarded_at = batch.discarded_at.filter(|_| batch.enqueued_at.is_none());
        (batch.jobs_finished_at, batch.finished_at) = (None, None);
        (batch.enqueued_at, batch.updated_at) = (Some(now), now);
        let answers = self.put(&mut rows, jobs);
        self.go_on_with(&mut rows, id, false, callbacks)?;
        Ok(Some(answers))
    }

    async fn go_on(&self, ended: &[BatchEnd], callbacks: &Callbacks) -> Result<(), StoreError> {
        let mut rows = self.rows();
        let tells = |end: &&BatchEnd| end.discarded && !end.was_callback;
        // What was discarded first: by the end of another job the batch may be over.
        let told = ended.iter().filter(tells).map(|end| (end.batch, true));
        let others = ended.iter().filter(|end| !tells(end)).map(|end| (end.batch, false));
        told.chain(others).try_for_each(|(batch, discarded)| {
            self.go_on_with(&mut rows, batch, discarded, callbacks)
        })
    }

    async fn forget_jobs(&self, jobs: &[JobId]) -> Result<(), StoreError> {
        let mut rows = self.rows();
        for id in jobs {
            if rows.jobs.get(id).is_some_and(|job| job.finished_at.is_some()) {
                rows.delete(*id);
            }
        }
        Ok(())
    }

    async fn retry_batch(
        &self,
        id: BatchId,
        callbacks: &Callbacks,
    ) -> Result<RetriedBatch, StoreError> {
        let mut rows = self.rows();
        match rows.batches.get(&id) {
            None => return Ok(RetriedBatch::Gone),
            Some(batch) if !batch.is_discarded() => return Ok(RetriedBatch::NotDiscarded),
            Some(_) => {}
        }
        let is_free = |job: &&JobRecord| {
            job.finished_at.is_some() && job.error.is_some() && job.locked_by.is_none()
        };
        let jobs: Vec<JobId> = rows.members(id).filter(is_free).map(|job| job.id).collect();
        jobs.iter().for_each(|job| self.retry_job(&mut rows, *job));
        if let Some(batch) = rows.batches.get_mut(&id) {
            (batch.discarded_at, batch.jobs_finished_at, batch.finished_at) = (None, None, None);
            batch.updated_at = self.shared.clock.now();
        }
        self.go_on_with(&mut rows, id, false, callbacks)?;
        Ok(RetriedBatch::Retried { jobs: jobs.len() as u64 })
    }

    async fn look_at_batches(
        &self,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<BatchLook>, StoreError> {
        let rows = self.rows();
        let open = rows.batches.values().filter(|batch| !batch.is_finished());
        let open = open.filter(|batch| after.is_none_or(|after| batch.id > after)).take(limit);
        let look = |batch: &BatchRecord| BatchLook {
            id: batch.id,
            updated_at: batch.updated_at,
            stuck: rows.is_stuck(batch),
        };
        Ok(open.map(look).collect())
    }
}
