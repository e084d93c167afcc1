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

/// What a core remembers, apart from it: packing it can wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreSnapshot {
    groups: Vec<GroupImage>,
    scopes: Vec<Recorded>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct GroupImage {
    key: GroupKey,
    next_tick: Timestamp,
    closed: Option<Timestamp>,
    plain: ScopeImage,
    scoped: Vec<(Labels, ScopeImage)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ScopeImage {
    rules: Vec<RuleState>,
    replica: Arc<str>,
    heard: Option<Timestamp>,
}

/// What rules recorded in a scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// All that it remembers. It must not be catching up with a log.
    pub fn snapshot(&mut self) -> CoreSnapshot {
        let scopes = self.scopes.iter_mut();
        let scopes = scopes.map(|(labels, scope)| Recorded::of(labels, &mut scope.recorded));
        CoreSnapshot {
            scopes: scopes.collect(),
            groups: self.groups.iter().map(image_of).collect(),
        }
    }

    /// Goes on from what another core remembered under the same rules.
    ///
    /// # Errors
    /// [`RestoreError`]: it is not to be used any more.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let image: CoreSnapshot = rmp_serde::from_slice(snapshot)?;
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

impl CoreSnapshot {
    /// As bytes.
    ///
    /// # Errors
    /// It holds what cannot be written: a mistake of ours.
    pub fn pack(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }
}

impl ScopeImage {
    fn of(state: &ScopeState) -> Self {
        Self {
            rules: state.rules.clone(),
            replica: Arc::clone(&state.replica),
            heard: state.heard,
        }
    }
}

fn image_of(state: &GroupState) -> GroupImage {
    let scoped = state.scoped.iter();
    GroupImage {
        key: state.key.clone(),
        next_tick: state.next_tick,
        closed: state.closed,
        plain: ScopeImage::of(&state.plain),
        scoped: scoped
            .map(|(labels, scope)| (labels.clone(), ScopeImage::of(scope)))
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
