//! Pages: made, changed, trashed, and what is written on them.

use serde_json::{Map, Value, json};

use super::{Notion, Page, Version, dashed, invalid, not_found, props, shapes, trash_wish};
use crate::sandbox::sim::api::{Created, Reply};
use crate::wire::Time;

impl Notion {
    pub(super) fn create_page(&mut self, body: &Value, version: Version, now: Time) -> Result<Reply, Reply> {
        props::known_members(
            body,
            &[
                "parent",
                "properties",
                "icon",
                "cover",
                "content",
                "children",
                "markdown",
                "allow_async",
                "template",
                "position",
            ],
        )?;
        let (source, parent_page) = self.parent(&body["parent"])?;
        let given = body.get("properties").cloned().unwrap_or_else(|| json!({}));
        let id = self.ids.uuid();
        let properties = match &source {
            Some(source) => self.row(source, &given, None)?,
            None => props::title_only(&given)?,
        };
        let children = body.get("children").or_else(|| body.get("content")).cloned().unwrap_or_else(|| json!([]));
        let mut page = Page::new(source, parent_page, properties, now);
        for (name, slot) in [("icon", &mut page.icon), ("cover", &mut page.cover)] {
            *slot = body.get(name).cloned().unwrap_or(Value::Null);
        }
        props::ensure_blocks(&children)?;
        let created = Created { name: props::title_of(&page.properties), markers: props::markers(&page.properties) };
        self.put(id.clone(), page);
        self.append(&id, &children, now)?;
        Ok(Reply::ok(&self.page(&id, version)).created(created))
    }

    /// The data source or page a new page goes under.
    fn parent(&self, parent: &Value) -> Result<(Option<String>, String), Reply> {
        let named = |name: &str| parent.get(name).and_then(Value::as_str);
        if let Some(id) = named("data_source_id") {
            let id = dashed(id)?;
            return match self.sources.contains_key(&id) {
                true => Ok((Some(id), String::new())),
                false => Err(not_found("data_source", &id)),
            };
        }
        if let Some(id) = named("database_id") {
            let id = dashed(id)?;
            return Ok((Some(self.only_source(&id)?), String::new()));
        }
        if let Some(id) = named("page_id") {
            return Ok((None, self.known_page(id)?));
        }
        Err(invalid("body failed validation: body.parent should be defined, instead was `undefined`."))
    }

    pub(super) fn patch_page(&mut self, id: &str, body: &Value, version: Version, now: Time) -> Result<Reply, Reply> {
        props::known_members(
            body,
            &[
                "properties",
                "icon",
                "cover",
                "is_locked",
                "template",
                "erase_content",
                "in_trash",
                "archived",
                "is_archived",
            ],
        )?;
        if version >= Version::TRASH_ONLY && body.get("archived").is_some() {
            return Err(invalid("body failed validation: body.archived should be not present; use in_trash."));
        }
        let wish = trash_wish(body);
        let page = &self.pages[id];
        if page.in_trash && wish != Some(false) && body.get("properties").is_some() {
            return Err(invalid("Can't edit block that is archived. You must unarchive the block before editing."));
        }
        let (source, before) = (page.source.clone(), page.properties.clone());
        let properties = match (&source, body.get("properties")) {
            (_, None) => before,
            (Some(source), Some(given)) => self.row(source, given, Some(before))?,
            (None, Some(given)) => props::title_only(given)?,
        };
        if let Some(page) = self.pages.get_mut(id) {
            page.properties = properties;
            page.edited = now;
            page.in_trash = wish.unwrap_or(page.in_trash);
            for (name, slot) in [("icon", &mut page.icon), ("cover", &mut page.cover)] {
                if let Some(value) = body.get(name) {
                    *slot = value.clone();
                }
            }
        }
        self.index(id);
        Ok(Reply::ok(&self.page(id, version)))
    }

    /// Property values for a row of `source`: what was there, what is given, and empty values for the rest.
    pub(super) fn row(
        &mut self,
        source: &str,
        given: &Value,
        before: Option<Map<String, Value>>,
    ) -> Result<Map<String, Value>, Reply> {
        let Some(source) = self.sources.get_mut(source) else { return Err(not_found("data_source", source)) };
        props::row(&mut source.schema, &mut self.ids, given, before)
    }

    pub(super) fn append(&mut self, parent: &str, children: &Value, now: Time) -> Result<Vec<Value>, Reply> {
        props::ensure_blocks(children)?;
        let blocks: Vec<Value> = children
            .as_array()
            .into_iter()
            .flatten()
            .map(|block| shapes::block(&self.ids.uuid(), parent, &self.bot, block, now))
            .collect();
        if !blocks.is_empty() {
            self.blocks.entry(parent.to_owned()).or_default().extend(blocks.iter().cloned());
        }
        Ok(blocks)
    }
}
