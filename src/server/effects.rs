//! Answers to changes, and whose they are: what every backend says in the same words.

use super::backend::ChangeContext;
use crate::wire::{ChangeAnswer, EffectKind, ItemEffect};

/// Whose change it is: the credential, with the operator's claim.
pub(super) fn who(cx: &ChangeContext) -> String {
    match &cx.operator {
        Some(operator) if !cx.actor.is_empty() => format!("{operator} ({})", cx.actor),
        Some(operator) => operator.clone(),
        None => cx.actor.clone(),
    }
}

/// Why an item of a workflow is not changed by itself, and what does.
pub(super) fn belongs_to(workflow: &str) -> String {
    format!(
        "belongs to workflow {workflow}; end that with `opsctl workflow rollback {workflow}` or \
         `opsctl workflow mark-completed {workflow}`"
    )
}

pub(super) fn answer(effect: EffectKind, message: String, items: Vec<ItemEffect>) -> ChangeAnswer {
    ChangeAnswer { effect, message, items, audit_id: None }
}

pub(super) fn effect(id: String, effect: EffectKind, detail: Option<String>) -> ItemEffect {
    ItemEffect { id, effect, detail }
}

pub(super) fn applied(effects: &[ItemEffect]) -> usize {
    effects.iter().filter(|item| item.effect == EffectKind::Applied).count()
}

/// The worst of the items speaks for the whole.
pub(super) fn summed(items: Vec<ItemEffect>, message: String) -> ChangeAnswer {
    let worst = items.iter().map(|item| item.effect).max();
    let effect = worst.unwrap_or(EffectKind::AlreadySo);
    answer(effect, message, items)
}
