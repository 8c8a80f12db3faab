//! Whether the processes on these tables exclude each other from a job (wire contract 3.9).
//!
//! `advisory` does not look at a row's owner, and `skiplocked` not at advisory locks: workers of these two
//! run each other's jobs. Every other pair is safe, and `hybrid` with all.

use goodjob_core::{ProcessId, StoreError, Trouble, TroubleKind, Troubles};
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::options::LockStrategy;
use crate::sql;

/// Another living process.
#[derive(Debug, FromRow)]
struct MemberRow {
    id: Uuid,
    /// What it says of itself, if it is one of ours.
    declared: Option<String>,
    /// The lock types of the jobs that it is doing now.
    observed: Vec<i16>,
    runtime: String,
}

impl MemberRow {
    fn locks_by(&self, strategy: LockStrategy) -> bool {
        match self.declared.as_deref().and_then(|name| name.parse::<LockStrategy>().ok()) {
            Some(declared) => declared == strategy,
            None => self.observed.contains(&strategy.code()),
        }
    }
}

/// How the others lock, as far as it can be seen.
#[derive(Debug)]
pub(crate) struct Fleet(Vec<MemberRow>);

impl Fleet {
    pub(crate) async fn read<'c>(
        executor: impl PgExecutor<'c>,
        dialect: &Dialect,
        me: ProcessId,
    ) -> sqlx::Result<Self> {
        let query = sqlx::query_as(dialect.sql(sql::FLEET)).bind(me.as_uuid());
        Ok(Self(query.fetch_all(executor).await?))
    }

    /// What is wrong with a worker of this strategy beside the others.
    pub(crate) fn conflict_with(&self, ours: LockStrategy) -> Option<String> {
        let theirs = match ours {
            LockStrategy::Hybrid => return None,
            LockStrategy::Advisory => LockStrategy::SkipLocked,
            LockStrategy::SkipLocked => LockStrategy::Advisory,
        };
        let other = self.0.iter().find(|member| member.locks_by(theirs))?;
        Some(format!(
            "lock strategy {ours}: process {} ({}) locks by {theirs}, and the two do not exclude each \
             other from a job; use hybrid, which excludes both",
            other.id, other.runtime
        ))
    }

    /// What is wrong among the others, whatever we do: it hits their jobs, never ours.
    pub(crate) fn conflict_of_others(&self) -> Option<String> {
        let by = |strategy| self.0.iter().find(move |member| member.locks_by(strategy));
        let (advisory, skip) = (by(LockStrategy::Advisory)?, by(LockStrategy::SkipLocked)?);
        Some(format!(
            "processes {} and {} lock by advisory and by skiplocked: they run each other's jobs at the \
             same time; give one of them the strategy hybrid",
            advisory.id, skip.id
        ))
    }
}

/// Refuses a worker whose strategy does not exclude one that is at work.
pub(crate) async fn admit<'c>(
    executor: impl PgExecutor<'c>,
    dialect: &Dialect,
    me: ProcessId,
    ours: LockStrategy,
    troubles: &Troubles,
) -> Result<(), StoreError> {
    let fleet = Fleet::read(executor, dialect, me).await.map_err(crate::error::store_error)?;
    if let Some(conflict) = fleet.conflict_of_others() {
        troubles.report(Trouble::new(TroubleKind::FleetConflict, conflict));
    }
    match fleet.conflict_with(ours) {
        Some(conflict) => Err(StoreError::Unfit(conflict)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(declared: Option<&str>, observed: &[i16]) -> MemberRow {
        let (declared, runtime) = (declared.map(str::to_owned), "x".to_owned());
        MemberRow { id: Uuid::nil(), declared, observed: observed.to_vec(), runtime }
    }

    #[test]
    fn advisory_and_skiplocked_are_kept_apart() {
        use LockStrategy::{Advisory, Hybrid, SkipLocked};
        let beside = |member, ours| Fleet(vec![member]).conflict_with(ours).is_some();
        assert!(beside(member(Some("skiplocked"), &[]), Advisory));
        assert!(beside(member(Some("advisory"), &[]), SkipLocked));
        assert!(beside(member(None, &[1]), Advisory), "a Ruby worker is known by its rows");
        assert!(beside(member(None, &[2, 0]), SkipLocked));
        for ours in [Advisory, Hybrid, SkipLocked] {
            assert!(
                !beside(member(Some("hybrid"), &[0, 1]), ours),
                "{ours}: ours say what they do"
            );
            assert!(!beside(member(None, &[2]), ours), "{ours}");
            assert!(!beside(member(None, &[]), ours), "{ours}");
        }
        assert!(!beside(member(None, &[0, 1]), Hybrid));
    }

    #[test]
    fn a_mix_of_others_is_seen() {
        let mixed = Fleet(vec![member(None, &[0]), member(None, &[2]), member(None, &[1])]);
        assert!(mixed.conflict_of_others().unwrap().contains("run each other's jobs"));
        let sound = Fleet(vec![member(None, &[0]), member(Some("hybrid"), &[2])]);
        assert!(sound.conflict_of_others().is_none());
    }
}
