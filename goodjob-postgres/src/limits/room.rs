//! Room that an attempt leaves: the next jobs of its scopes become due.

use std::collections::HashSet;
use std::time::Duration;

use goodjob_core::{Scope, Token};

use super::{Limited, Statements};

/// How long it may take to find the next jobs of a scope.
const DEADLINE: Duration = Duration::from_secs(10);

/// What may be free after an attempt's end: a limit of a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Room {
    pub(super) scope: Scope,
    pub(super) class: String,
    pub(super) most: u32,
}

impl Limited {
    /// Attempts have ended, and that is committed. Gives their room away, in a task of its own.
    pub(crate) fn ended<'a>(&self, tokens: impl Iterator<Item = &'a Token>) {
        let mut memory = self.memory();
        if memory.judged.is_empty() {
            return;
        }
        let rooms = tokens.filter_map(|token| memory.judged.remove(&token.execution));
        let rooms: Vec<Room> = rooms.flatten().collect();
        memory.free.extend(rooms);
        if !memory.free.is_empty() && !std::mem::replace(&mut memory.giving, true) {
            tokio::spawn(Giving { limited: self.clone(), is_over: false }.run());
        }
    }

    /// Waits until all room is given away.
    pub(crate) async fn given(&self) {
        loop {
            let settled = self.0.settled.notified();
            if !self.memory().giving {
                return;
            }
            settled.await;
        }
    }

    async fn give(&self, room: &Room) {
        let statement = Statements::of(&room.scope).next;
        let query = sqlx::query_as::<_, (i64, i64)>(self.0.dialect.sql(statement))
            .bind(room.scope.name())
            .bind(&room.class)
            .bind(i64::from(room.most));
        let given =
            self.0.stand.within(DEADLINE, async |connection| query.fetch_one(connection).await);
        match given.await {
            Ok((jobs, _sent)) => {
                tracing::debug!(scope = %room.scope, jobs, "made the next jobs due");
            }
            // They look by themselves.
            Err(error) => self.warn("cannot make the next jobs due", &room.scope, &error),
        }
    }
}

/// The giving away of what has gathered. When it is dropped, also with its runtime, the next end of an attempt
/// begins another one.
struct Giving {
    limited: Limited,
    is_over: bool,
}

impl Giving {
    async fn run(mut self) {
        loop {
            let free: HashSet<Room> = {
                let mut memory = self.limited.memory();
                if memory.free.is_empty() {
                    // Under the lock, lest an end come between the look and ours.
                    memory.giving = false;
                    self.is_over = true;
                    return;
                }
                std::mem::take(&mut memory.free)
            };
            for room in &free {
                self.limited.give(room).await;
            }
        }
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        if !self.is_over {
            self.limited.memory().giving = false;
        }
        self.limited.0.settled.notify_waiters();
    }
}
