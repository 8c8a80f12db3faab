//! The life and death of other processes, judged from here (failure model 4.2).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use goodjob_core::{HostIdentity, ProcessId, Trouble, TroubleKind, Troubles};
use sqlx::postgres::PgListener;
use tokio::time::Instant;
use uuid::Uuid;

use super::Common;
use crate::dialect::Dialect;
use crate::fleet::Fleet;
use crate::options::LockStrategy;
use crate::rows::PeerRow;
use crate::sql;

/// A goodjob process none of whose locks is held for this long is dead: longer than an owner that
/// lost both sessions takes to notice (3 s), to hope (4 s) and to stop its jobs (2 s).
const ORPHAN_GRACE: Duration = Duration::from_secs(10);
/// After our own session was made nobody is judged for this long: a restart of the server frees
/// everybody's locks while all owners live.
const SETTLING: Duration = Duration::from_secs(5);
/// Time between looks for jobs whose owner has no process row at all, and for other rare things.
const AROUND: Duration = Duration::from_secs(60);

/// What is known of the peers.
pub(crate) struct Peers {
    me: ProcessId,
    strategy: LockStrategy,
    dialect: Dialect,
    troubles: Troubles,
    connected: Instant,
    /// Since when a peer's locks were seen free.
    silent: HashMap<Uuid, Instant>,
    looked_around: Option<Instant>,
    warned: HashSet<String>,
}

impl Peers {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            me: common.process,
            strategy: common.options.lock_strategy,
            dialect: common.dialect.clone(),
            troubles: common.troubles.clone(),
            connected: Instant::now(),
            silent: HashMap::new(),
            looked_around: None,
            warned: HashSet::new(),
        }
    }

    /// Our session is new: what was seen before says nothing any more.
    pub(crate) fn reconnected(&mut self) {
        self.connected = Instant::now();
        self.silent.clear();
    }

    /// Looks at the peers, and frees the jobs of the dead.
    pub(crate) async fn look(&mut self, session: &mut PgListener) -> sqlx::Result<()> {
        let peers: Vec<PeerRow> = sqlx::query_as(self.dialect.sql(sql::PEERS))
            .bind(self.me.as_uuid())
            .fetch_all(&mut *session)
            .await?;
        self.silent.retain(|id, _| peers.iter().any(|peer| peer.id == *id && !peer.locks_held));
        let dead: Vec<Uuid> =
            peers.iter().filter(|peer| self.is_dead(peer)).map(|peer| peer.id).collect();
        for process in dead {
            let (freed, gone, _): (i64, bool, i64) = sqlx::query_as(self.dialect.sql(sql::REAP))
                .bind(process)
                .fetch_one(&mut *session)
                .await?;
            if gone || freed > 0 {
                tracing::warn!(%process, jobs = freed, "freed the jobs of a dead process");
            }
            if !gone {
                tracing::debug!(%process, "somebody has locked a job of a dead process");
            }
        }
        Ok(())
    }

    /// What need not be looked at often: jobs whose owner is not even known are freed, and what makes
    /// Ruby's workers run jobs twice or not at all is warned of, once.
    pub(crate) async fn look_around(&mut self, session: &mut PgListener) -> sqlx::Result<()> {
        if self.looked_around.is_some_and(|last| last.elapsed() < AROUND) {
            return Ok(());
        }
        self.looked_around = Some(Instant::now());
        let query = sqlx::query_as(self.dialect.sql(sql::FREE_GHOSTS));
        let (freed, _): (i64, i64) = query.fetch_one(&mut *session).await?;
        if freed > 0 {
            tracing::warn!(jobs = freed, "freed jobs whose owner is unknown");
        }
        let fleet = Fleet::read(&mut *session, &self.dialect, self.me).await?;
        let conflict = fleet.conflict_with(self.strategy).or_else(|| fleet.conflict_of_others());
        let query = sqlx::query_scalar(self.dialect.sql(sql::PAUSES));
        let pauses: Option<String> = query.fetch_optional(session).await?;
        let pauses = pauses.map(|value| {
            format!(
                "the setting \"pauses\" is {value}, expected an object of lists of texts: what is no \
                 list pauses nothing here, and stops Ruby's workers that heed pauses"
            )
        });
        for warning in conflict.into_iter().chain(pauses) {
            if self.warned.insert(warning.clone()) {
                self.troubles.report(Trouble::new(TroubleKind::FleetConflict, warning));
            }
        }
        Ok(())
    }

    fn is_dead(&mut self, peer: &PeerRow) -> bool {
        if peer.locks_held {
            return false;
        }
        if peer.expired {
            return true;
        }
        // Only our own kind holds a process lock; a Ruby process is judged by its heartbeat alone.
        let Some(host) = peer.host.clone() else { return false };
        // A neighbour whose pid is gone needs no grace.
        if serde_json::from_value::<HostIdentity>(host).is_ok_and(|host| host.is_gone()) {
            return true;
        }
        let silent_since = *self.silent.entry(peer.id).or_insert_with(Instant::now);
        self.connected.elapsed() > SETTLING && silent_since.elapsed() >= ORPHAN_GRACE
    }
}
