//! What undoing each kind of action means, and what it leaves behind.

use super::super::operations;
use crate::wire::{ActionType, Platform, Reversibility, RollbackLimitation};

/// How far, how, and what stays or has to hold.
const fn row(platform: Platform, action_type: ActionType) -> (Reversibility, &'static str, &'static str) {
    use ActionType::{Create, Delete, File, Log, Notify, Query, Update};
    use Reversibility::{NonReversible, NothingToUndo, PartiallyReversible, Reversible};
    match (platform, action_type) {
        (_, Query) => (NothingToUndo, "Nothing.", "It only reads."),

        (Platform::Notion, Create) => (
            Reversible,
            "The page is moved to the trash.",
            "Whoever was notified of the page stays notified; Notion empties its trash after 30 days.",
        ),
        (Platform::Notion, Update) => (
            PartiallyReversible,
            "The properties and the title are written back as they were before.",
            "Only while they hold what the action wrote; uploaded files and relations with more than 25 entries cannot be written back.",
        ),
        (Platform::Notion, Delete) => (
            Reversible,
            "The page is taken out of the trash.",
            "Only while it is in the trash, which Notion empties after 30 days.",
        ),
        (Platform::Notion, Log) => (
            NonReversible,
            "A person removes the paragraph on the page.",
            "Notion keeps no undo for a paragraph, and people may have read or answered it.",
        ),

        (Platform::Trello, Create) => (
            Reversible,
            "The card is archived.",
            "An archived card stays on the board for good; labels made for it stay, and members stay notified.",
        ),
        (Platform::Trello, Update) => (
            PartiallyReversible,
            "Name, description, due date, list and archiving are written back as they were before.",
            "Only while they hold what the action wrote; the card's history shows both changes.",
        ),
        (Platform::Trello, Delete) => (
            Reversible,
            "The card is taken out of the archive; deleting archives only.",
            "Not when a person deleted the archived card for good.",
        ),
        (Platform::Trello, Log) => (
            NonReversible,
            "A person removes the comment on the card.",
            "Whoever follows the card was notified of the comment.",
        ),

        (Platform::Slack, Notify) => (
            NonReversible,
            "A person sends a correction to the same channel.",
            "A message that was sent may have been read; deleting it would not undo that.",
        ),
        (Platform::Slack, Update) => (
            NonReversible,
            "A person sends a correction to the same channel.",
            "The earlier text is not kept, and both texts may have been read.",
        ),
        (Platform::Slack, Delete) => (
            NonReversible,
            "A person posts the message again.",
            "Slack deletes for good: a message posted again has another time, no reactions and no thread.",
        ),

        (Platform::Drive, Create | File) => (
            Reversible,
            "The file is moved to the trash, a folder only while it is empty.",
            "Only the owner may trash a file; whoever it was shared with may have a copy; Drive empties its trash after 30 days.",
        ),
        (Platform::Drive, Update) => (
            PartiallyReversible,
            "The name and the folder are put back.",
            "Only while they are what the action made them; the earlier folder has to be there still.",
        ),
        (Platform::Drive, Delete) => (
            Reversible,
            "The file is taken out of the trash; deleting trashes only.",
            "Only while it is in the trash, which Drive empties after 30 days, and only by its owner.",
        ),

        (Platform::Sheets, Create) => (
            PartiallyReversible,
            "The appended cells are blanked.",
            "Only while they hold what was written; the empty row stays, so that no other row moves.",
        ),
        (Platform::Sheets, Update) => (
            PartiallyReversible,
            "The cells are written back as they were before, formulas and number formats too.",
            "Only while they hold what the action wrote; notes and colours are not touched.",
        ),
        (Platform::Sheets, Delete) => (
            PartiallyReversible,
            "The row is put in again where it was, with values, formulas, formats and notes; formulas elsewhere are repaired.",
            "Only while the rows around it have not moved; merged cells and named ranges that shrank stay as they are.",
        ),
        (Platform::Sheets, Log) => (
            NothingToUndo,
            "Nothing: the entry stays.",
            "An audit entry is a record of what was tried and is never taken back.",
        ),
        _ => (NonReversible, "A person puts it right.", "The platform has no such action."),
    }
}

/// How far an action of a kind can be undone.
pub const fn reversibility(platform: Platform, action_type: ActionType) -> Reversibility {
    row(platform, action_type).0
}

/// What can be undone and how, for every action of every platform.
pub fn limitations() -> Vec<RollbackLimitation> {
    let of = |platform: Platform, action_type: ActionType| {
        let (reversibility, undo, limitation) = row(platform, action_type);
        let (undo, limitation) = (undo.to_string(), limitation.to_string());
        RollbackLimitation { platform, action_type, reversibility, undo, limitation }
    };
    Platform::ALL.iter().flat_map(|p| operations(*p).into_iter().map(move |action| of(*p, action))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_every_platform_has_its_own_line() {
        let lines = limitations();
        let pairs: usize = Platform::ALL.iter().map(|p| operations(*p).len()).sum();
        assert_eq!(lines.len(), pairs);
        let strange = lines.iter().find(|l| l.limitation == "The platform has no such action.");
        assert_eq!(strange, None);
    }
}
