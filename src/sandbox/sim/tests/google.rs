//! Google's token endpoint.

use reqwest::Method;
use serde_json::json;

use super::World;
use crate::clock::Clock;
use crate::platforms::{Clients, Credentials};
use crate::sandbox::sim::{Api, SimOptions};
use crate::wire::{ErrorCode, Platform};

fn clients(world: &World, clock: Clock) -> Clients {
    Clients::new(world.sims.endpoints(), Credentials::from_env(&world.env), clock)
}

#[tokio::test]
async fn a_signed_request_is_checked_and_its_token_ends() {
    let clock = Clock::system();
    let world = World::with(SimOptions { clock: clock.clone(), ..SimOptions::default() }).await;
    let service = clients(&world, clock.clone());
    let who = service.who_am_i(Platform::Drive).await.unwrap();
    assert!(who.ends_with(".iam.gserviceaccount.com"), "{who}");
    service.who_am_i(Platform::Sheets).await.unwrap();
    assert_eq!(world.sims.stats_of(Api::Google).operations["oauth2.token"], 1);
    clock.set_offset_ms(2 * 3_600_000);
    service.who_am_i(Platform::Drive).await.unwrap();
    assert_eq!(world.sims.stats_of(Api::Google).operations["oauth2.token"], 2);

    let ahead = Clock::system();
    ahead.set_offset_ms(clock.offset_ms() + 3_600_000);
    let wrong_clock = clients(&world, ahead).who_am_i(Platform::Drive).await.unwrap_err();
    assert_eq!(wrong_clock.code, ErrorCode::AuthError);
    world.sims.revoke(Api::Google);
    let revoked = service.who_am_i(Platform::Drive).await.unwrap_err();
    assert_eq!(revoked.code, ErrorCode::AuthError);
}

#[tokio::test]
async fn what_is_wrong_with_a_grant_is_said() {
    let world = World::start().await;
    let (id, secret) = (world.var("GOOGLE_CLIENT_ID"), world.var("GOOGLE_CLIENT_SECRET"));
    let refresh =
        [("grant_type", "refresh_token"), ("client_id", id), ("client_secret", secret), ("refresh_token", "x")];
    for (form, status, error) in [
        (&refresh[..], 400, "invalid_grant"),
        (&refresh[..1], 401, "invalid_client"),
        (&[("grant_type", "password")][..], 400, "unsupported_grant_type"),
        (
            &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", "a.b.c")][..],
            400,
            "invalid_grant",
        ),
    ] {
        let answer = world.google("/token", form).await;
        assert_eq!((answer.status, &answer.json["error"]), (status, &json!(error)));
    }
}

#[tokio::test]
async fn a_token_tells_its_worth_until_it_is_revoked() {
    let world = World::start().await;
    let token = world.access_token().await;
    let info = world.google("/tokeninfo", &[("access_token", &token)]).await.json;
    assert!(info["scope"].as_str().unwrap().contains("auth/spreadsheets") && info["expires_in"].is_string());
    assert_eq!(world.google("/revoke", &[("token", world.var("GOOGLE_REFRESH_TOKEN"))]).await.status, 200);
    assert_eq!(world.google("/tokeninfo", &[("access_token", &token)]).await.json["error"], "invalid_token");
    let drive = world.as_google(&token, Api::Drive, Method::GET, "/drive/v3/about?fields=user", None).await;
    assert_eq!((drive.status, &drive.json["error"]["errors"][0]["reason"]), (401, &json!("authError")));
    let log = format!("/v4/spreadsheets/{}", world.var("SHEETS_LOG_SPREADSHEET_ID"));
    let sheets = world.as_google(&token, Api::Sheets, Method::GET, &log, None).await;
    assert_eq!((sheets.status, &sheets.json["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
}
