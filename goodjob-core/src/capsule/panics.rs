//! Where a job panicked. A panic's message travels with the unwinding; its location only passes the
//! panic hook, which cannot tell the job but knows the task.

use std::any::Any;
use std::collections::HashMap;
use std::panic;
use std::sync::{LazyLock, Mutex, Once, PoisonError};

use tokio::task::{self, JoinError};

use crate::job::{JobError, JobResult, Panicked};
use crate::store::Outcome;

static LOCATIONS: LazyLock<Mutex<HashMap<task::Id, String>>> = LazyLock::new(Mutex::default);
static INSTALL: Once = Once::new();

/// Notes the location of panics in tasks from now on, and passes each on to the hook before it.
pub(crate) fn keep_locations() {
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let (Some(task), Some(place)) = (task::try_id(), info.location()) {
                let mut locations = LOCATIONS.lock().unwrap_or_else(PoisonError::into_inner);
                // Only panics of jobs are fetched; those of other tasks must not pile up.
                if locations.len() > 1_000 {
                    locations.clear();
                }
                locations.insert(task, place.to_string());
            }
            before(info);
        }));
    });
}

/// A panic of the present task that was caught in it.
pub(crate) fn describe_here(payload: &(dyn Any + Send)) -> Panicked {
    match task::try_id() {
        Some(id) => describe(id, payload),
        None => Panicked { message: message(payload), location: None },
    }
}

/// The panic of the task `id`, from what its unwinding carried.
pub(crate) fn describe(id: task::Id, payload: &(dyn Any + Send)) -> Panicked {
    let message = message(payload);
    let location = LOCATIONS.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    Panicked { message, location }
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked with a value that is no text".to_owned())
}

/// How a task with a body ended.
pub(crate) fn outcome(ended: Result<JobResult, JoinError>) -> Outcome {
    match ended.map_err(|error| (error.id(), error.try_into_panic())) {
        Ok(Ok(())) => Outcome::Succeeded,
        Ok(Err(error)) => Outcome::Failed(error),
        Err((task, Ok(payload))) => {
            Outcome::Failed(JobError::from_panic(describe(task, &*payload)))
        }
        // Only this process aborts bodies, and it does not wait for them afterwards.
        Err((_, Err(_cancelled))) => Outcome::CutOff,
    }
}
