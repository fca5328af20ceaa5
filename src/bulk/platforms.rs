//! The platforms as the runner's world.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::item::{Deed, Item};
use super::work::{Found, Sight, Work, Written};
use crate::platforms::look::{Target, content_of};
use crate::platforms::pace::Pace;
use crate::platforms::undo::{Done, Undone};
use crate::platforms::{CALL_TIMEOUT, Call, Clients, Lookup, PlatformError};
use crate::wire::{ActionType, Platform, Time};

/// Objects that one look covers where one request shows many: Notion's page.
const PAGE: usize = 100;

/// Objects that one look covers where each takes a request: few, so that they are touched right after it.
const FEW: usize = 8;

/// Items under way where nothing paces them.
const WIDTH: usize = 4;

/// How long taking an item back may take: a look, a write, and another look.
const TAKE_BACK: Duration = Duration::from_secs(30);

/// The platforms, spoken to with these clients.
pub struct AtPlatforms {
    clients: Clients,
    pace: Option<Arc<Pace>>,
    page: usize,
}

impl AtPlatforms {
    /// Those that these clients reach, as many items at once as the credential of this one bears.
    pub fn new(clients: Clients, platform: Platform) -> Self {
        let pace = clients.pace(platform);
        let page = if platform == Platform::Notion { PAGE } else { FEW };
        AtPlatforms { clients, pace, page }
    }

    /// Those it speaks with.
    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What paces it.
    pub(super) fn pace(&self) -> Option<&Pace> {
        self.pace.as_deref()
    }

    /// How the content of what is taken back looks. Whether it is taken back already is the undo's own look.
    async fn left_behind(&self, item: &Item) -> Result<Sight, PlatformError> {
        let unknown = Sight::There { print: String::new(), before: None };
        let (Deed::TakeBack { done, .. }, Some(_)) = (&item.deed, &item.seen) else { return Ok(unknown) };
        let target = Target { action: done.action_type, data: &done.data, among: None };
        let print = self.clients.print_now(done.platform, &target).await?;
        Ok(Sight::There { print: content_of(&print.unwrap_or_default()).to_owned(), before: None })
    }

    async fn take_back(&self, done: &Done) -> Result<Undone, PlatformError> {
        match done.platform {
            Platform::Slack => self.clients.correct(done, TAKE_BACK).await,
            _ => self.clients.undo(done, false, TAKE_BACK).await,
        }
    }

    async fn act(&self, call: Call) -> Result<Written, PlatformError> {
        let outcome = self.clients.execute(&call).await?;
        // A deletion that was found done was somebody else's; everything else is recognised by our marker.
        Ok(match outcome.served_by_marker && call.action_type == ActionType::Delete {
            true => Written::Already("it was done already when the request came".into()),
            false => Written::Done(outcome.result),
        })
    }
}

fn call(platform: Platform, action: ActionType, data: &Value, marker: &str) -> Call {
    Call { marker: Some(marker.to_owned()), ..Call::new(platform, action, data.clone()) }
}

impl Work for AtPlatforms {
    fn width(&self) -> usize {
        self.pace.as_ref().map_or(WIDTH, |pace| pace.standing().width)
    }

    fn page(&self) -> usize {
        self.page
    }

    fn look<'a>(&'a self, items: &'a [&'a Item]) -> LocalBoxFuture<'a, Vec<Result<Sight, PlatformError>>> {
        Box::pin(async move {
            let mut sights = Vec::with_capacity(items.len());
            for item in items {
                sights.push(self.left_behind(item).await);
            }
            for platform in Platform::ALL {
                let mut places = Vec::new();
                let mut targets = Vec::new();
                for (place, item) in items.iter().enumerate() {
                    if let Deed::Act { platform: of, action, data } = &item.deed
                        && of == platform
                    {
                        places.push(place);
                        targets.push(Target { action: *action, data, among: item.among.as_ref() });
                    }
                }
                if !targets.is_empty() {
                    let seen = self.clients.look(*platform, &targets).await;
                    places.into_iter().zip(seen).for_each(|(place, sight)| sights[place] = sight);
                }
            }
            sights
        })
    }

    fn write<'a>(&'a self, item: &'a Item, marker: &'a str) -> LocalBoxFuture<'a, Result<Written, PlatformError>> {
        Box::pin(async move {
            match &item.deed {
                Deed::Act { platform, action, data } => self.act(call(*platform, *action, data, marker)).await,
                Deed::TakeBack { done, .. } => Ok(match self.take_back(done).await? {
                    Undone::Confirmed(what) => Written::Done(Value::from(what)),
                    Undone::Already(what) => Written::Already(what),
                    Undone::ChangedSince(how) => Written::Changed(how),
                    Undone::StillStands(how) => Written::Without(how),
                }),
            }
        })
    }

    fn find<'a>(
        &'a self,
        item: &'a Item,
        marker: &'a str,
        since: Time,
    ) -> LocalBoxFuture<'a, Result<Found, PlatformError>> {
        Box::pin(async move {
            let Deed::Act { platform, action, data } = &item.deed else {
                // An undo looks first, so that it may be tried again.
                return Ok(Found::Absent);
            };
            let call = Call { timeout: CALL_TIMEOUT, ..call(*platform, *action, data, marker) };
            Ok(match self.clients.find_written(&call, since).await? {
                Lookup::Found(outcome) => Found::Done(outcome.result),
                Lookup::Absent => Found::Absent,
                Lookup::Unclear(why) => Found::Unclear(why),
            })
        })
    }
}
