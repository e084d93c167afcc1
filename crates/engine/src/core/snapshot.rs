//! The core's memory as it stands in a snapshot.

use std::mem::discriminant;
use std::sync::Arc;

use foghorn_eval::shard::{AdoptError, Shard, ShardState, unpack};
use foghorn_model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Core;
use super::scopes::Scope;
use super::state::{GroupState, Memory, RuleState, ScopeState};
use crate::entry::GroupKey;

/// Why a core cannot go on from a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Its bytes are not a core's memory.
    #[error("the rules' memory cannot be unpacked: {0}")]
    Unpack(#[from] rmp_serde::decode::Error),
    /// It was made under other rules.
    #[error("it was made under other rules: {0}")]
    Rules(String),
    /// A recorded series.
    #[error(transparent)]
    Series(#[from] AdoptError),
}

#[derive(Serialize)]
struct CoreView<'a> {
    groups: Vec<GroupView<'a>>,
    scopes: Vec<Recorded>,
}

#[derive(Deserialize)]
struct CoreImage {
    groups: Vec<GroupImage>,
    scopes: Vec<Recorded>,
}

#[derive(Serialize)]
struct GroupView<'a> {
    key: &'a GroupKey,
    next_tick: Timestamp,
    closed: Option<Timestamp>,
    plain: ScopeView<'a>,
    scoped: Vec<(&'a Labels, ScopeView<'a>)>,
}

#[derive(Deserialize)]
struct GroupImage {
    key: GroupKey,
    next_tick: Timestamp,
    closed: Option<Timestamp>,
    plain: ScopeImage,
    scoped: Vec<(Labels, ScopeImage)>,
}

#[derive(Serialize)]
struct ScopeView<'a> {
    rules: &'a [RuleState],
    replica: &'a str,
    heard: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ScopeImage {
    rules: Vec<RuleState>,
    replica: Arc<str>,
    heard: Option<Timestamp>,
}

/// What rules recorded in a scope.
#[derive(Serialize, Deserialize)]
struct Recorded {
    scope: Labels,
    states: Vec<ShardState>,
    blocks: Vec<ByteBuf>,
}

/// Bytes of a block of recorded series.
const BLOCK: usize = 1 << 20;

impl Recorded {
    fn of(scope: &Labels, shard: &mut Shard) -> Self {
        let states = shard.cut();
        let blocks = std::iter::from_fn(|| shard.capture(BLOCK));
        Self {
            scope: scope.clone(),
            states,
            blocks: blocks.map(|block| ByteBuf::from(block.bytes)).collect(),
        }
    }
}

impl Core {
    /// All that it remembers, in bytes. It must not be catching up with a log.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let scopes = self.scopes.iter_mut();
        let scopes = scopes.map(|(labels, scope)| Recorded::of(labels, &mut scope.recorded));
        let scopes = scopes.collect();
        let view = CoreView {
            groups: self.groups.iter().map(view_of).collect(),
            scopes,
        };
        // A vector takes whatever is written, and every key is a text.
        rmp_serde::to_vec_named(&view).unwrap_or_default()
    }

    /// Goes on from what another core remembered under the same rules.
    ///
    /// # Errors
    /// [`RestoreError`]: it is not to be used any more.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let image: CoreImage = rmp_serde::from_slice(snapshot)?;
        let others = |what: &str| RestoreError::Rules(what.to_owned());
        if image.groups.len() != self.groups.len() {
            return Err(others("there are more groups, or fewer"));
        }
        for recorded in image.scopes {
            let scope = Scope::new(&self.catalog, &recorded.scope, &self.external);
            let scope = self.scopes.entry(recorded.scope).or_insert(scope);
            let state = recorded.states.first();
            let state = state.ok_or_else(|| others("recorded series are nobody's"))?;
            let ranks = scope.recorded.learn(state);
            for block in &recorded.blocks {
                for series in unpack(block) {
                    scope.recorded.adopt(None, series?, &ranks)?;
                }
            }
        }
        for (index, image) in image.groups.into_iter().enumerate() {
            let state = &mut self.groups[index];
            if state.key != image.key {
                return Err(others(&image.key.name));
            }
            (state.next_tick, state.closed) = (image.next_tick, image.closed);
            restore_scope(&mut state.plain, image.plain).map_err(|what| others(&what))?;
            for (scope, image) in image.scoped {
                let mut new = ScopeState::new(&self.catalog, index);
                restore_scope(&mut new, image).map_err(|what| others(&what))?;
                state.scoped.insert(scope, new);
            }
        }
        self.restored = true;
        Ok(())
    }

    /// Whether it goes on from a snapshot.
    pub fn is_restored(&self) -> bool {
        self.restored
    }
}

fn view_of(state: &GroupState) -> GroupView<'_> {
    let view = |scope| {
        let ScopeState {
            rules,
            replica,
            heard,
            ..
        }: &ScopeState = scope;
        ScopeView {
            rules,
            replica,
            heard: *heard,
        }
    };
    let scoped = state.scoped.iter();
    GroupView {
        key: &state.key,
        next_tick: state.next_tick,
        closed: state.closed,
        plain: view(&state.plain),
        scoped: scoped
            .map(|(labels, scope)| (labels, view(scope)))
            .collect(),
    }
}

fn restore_scope(state: &mut ScopeState, image: ScopeImage) -> Result<(), String> {
    if state.rules.len() != image.rules.len() {
        return Err("a group has more rules, or fewer".to_owned());
    }
    (state.replica, state.heard) = (image.replica, image.heard);
    for (rule, image) in state.rules.iter_mut().zip(image.rules) {
        let same = match (&rule.memory, &image.memory) {
            (Memory::Alert { bank, .. }, Memory::Alert { bank: other, .. }) => {
                bank.is_some() == other.is_some()
            }
            (memory, other) => discriminant(memory) == discriminant(other),
        };
        if !same {
            return Err("a rule is of another kind".to_owned());
        }
        let logs_only = rule.logs_only;
        *rule = RuleState { logs_only, ..image };
    }
    Ok(())
}
