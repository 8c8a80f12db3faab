//! What the end of a job does to its batch, or that of a callback: the continuation of wire contract 9.4.
//! Stores only look, and write the result, both under the batch's lock.

use super::callback::BatchEvent;
use super::record::BatchRecord;

/// What a store sees around a batch while it holds the batch's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Whether a job of the batch is not over.
    pub open_jobs: bool,
    /// Whether a callback of the batch is not over.
    pub open_callbacks: bool,
    /// Whether a job of the batch has ended with an error since the batch was enqueued.
    pub errors: bool,
}

/// What becomes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchProgress {
    /// `discarded_at` is to be set.
    pub discarded: bool,
    /// `jobs_finished_at` is to be set.
    pub jobs_finished: bool,
    /// `finished_at` is to be set.
    pub finished: bool,
    /// Which callbacks are to be enqueued with that, in order. Those that the batch does not want are left
    /// out.
    pub events: Vec<BatchEvent>,
}

impl BatchProgress {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Decides how a batch goes on. `discarded`: one of its jobs has just been discarded, by whoever asks.
///
/// Pure. The three steps are those of the gem, with one addition: when the last job is over, discarded ones
/// are looked for among the rows too, as the process that should have told of one may have died, and a
/// person tells nobody.
#[must_use]
pub fn progress(batch: &BatchRecord, discarded: bool, sight: Sight) -> BatchProgress {
    let jobs_finished = batch.is_enqueued() && !batch.are_jobs_finished() && !sight.open_jobs;
    let discarded = !batch.is_discarded() && (discarded || (jobs_finished && sight.errors));
    let mut events = Vec::new();
    if discarded {
        events.push(BatchEvent::Discard);
    }
    if jobs_finished && !discarded && !batch.is_discarded() {
        events.push(BatchEvent::Success);
    }
    if jobs_finished {
        events.push(BatchEvent::Finish);
    }
    events.retain(|event| batch.spec.callback(*event).is_some());
    let over = batch.are_jobs_finished() || jobs_finished;
    let finished = over && !batch.is_finished() && !sight.open_callbacks && events.is_empty();
    BatchProgress { discarded, jobs_finished, finished, events }
}

#[cfg(test)]
mod tests {
    use super::super::record::BatchSpec;
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::BatchId;

    fn batch() -> BatchRecord {
        let named = |class: &str| Some(class.to_owned());
        let at = Timestamp::default();
        BatchRecord {
            id: BatchId::generate(),
            spec: BatchSpec {
                on_finish: named("F"),
                on_success: named("S"),
                on_discard: named("D"),
                ..BatchSpec::default()
            },
            created_at: at,
            updated_at: at,
            enqueued_at: Some(at),
            discarded_at: None,
            jobs_finished_at: None,
            finished_at: None,
        }
    }

    const OPEN: Sight = Sight { open_jobs: true, open_callbacks: false, errors: false };
    const OVER: Sight = Sight { open_jobs: false, open_callbacks: false, errors: false };

    #[test]
    fn the_last_job_calls_back_and_the_last_callback_finishes() {
        let mut batch = batch();
        assert!(progress(&batch, false, OPEN).is_none());
        let last = progress(&batch, false, OVER);
        assert_eq!(last.events, [BatchEvent::Success, BatchEvent::Finish]);
        assert!(last.jobs_finished && !last.finished && !last.discarded);
        batch.jobs_finished_at = Some(Timestamp::default());
        assert!(progress(&batch, false, Sight { open_callbacks: true, ..OVER }).is_none());
        let end = progress(&batch, false, OVER);
        assert_eq!(end, BatchProgress { finished: true, ..BatchProgress::default() });
        batch.finished_at = Some(Timestamp::default());
        assert!(progress(&batch, false, OVER).is_none());
    }

    #[test]
    fn a_discarded_job_is_told_at_once_and_once() {
        let mut batch = batch();
        let first = progress(&batch, true, OPEN);
        assert_eq!((first.events, first.jobs_finished), (vec![BatchEvent::Discard], false));
        batch.discarded_at = Some(Timestamp::default());
        assert!(progress(&batch, true, OPEN).is_none());
        assert_eq!(progress(&batch, true, OVER).events, [BatchEvent::Finish], "no success");
    }

    #[test]
    fn an_error_that_nobody_told_of_is_found_when_the_last_job_is_over() {
        let unheard = Sight { errors: true, ..OVER };
        let end = progress(&batch(), false, unheard);
        assert!(end.discarded && end.jobs_finished);
        assert_eq!(end.events, [BatchEvent::Discard, BatchEvent::Finish]);
        assert!(progress(&batch(), false, Sight { errors: true, ..OPEN }).is_none());
    }

    #[test]
    fn a_batch_that_is_not_enqueued_waits_and_one_without_callbacks_is_over_at_once() {
        let waits = BatchRecord { enqueued_at: None, ..batch() };
        assert!(progress(&waits, false, OVER).is_none());
        assert_eq!(progress(&waits, true, OVER).events, [BatchEvent::Discard]);
        let quiet = BatchRecord { spec: BatchSpec::default(), ..batch() };
        let end = progress(&quiet, false, OVER);
        assert!(end.jobs_finished && end.finished && end.events.is_empty());
        let blank = BatchSpec { on_finish: Some(" ".into()), ..BatchSpec::default() };
        assert!(progress(&BatchRecord { spec: blank, ..batch() }, false, OVER).finished);
    }
}
