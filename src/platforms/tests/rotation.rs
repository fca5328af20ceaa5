//! New credentials and the end of old ones, against the simulators.

use super::with_sims::Ground;
use super::*;
use crate::platforms::rotation::OAuthApp;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_service_account_gets_a_key_and_gives_one_up() {
    let ground = Ground::start().await;
    let first = ground.clients.account_keys(LIMIT).await.unwrap();
    assert_eq!((first.len(), first[0].disabled), (1, false));
    let made = ground.clients.make_account_key(LIMIT).await.unwrap();
    let mut env = ground.env.clone();
    env.insert("GOOGLE_SERVICE_ACCOUNT_KEY".into(), made.file.expose().to_owned());
    let with_new = Clients::new(ground.sims.endpoints(), Credentials::from_env(&env), Clock::system());
    with_new.who_am_i(Platform::Sheets).await.unwrap();
    with_new.disable_account_key(&first[0].id, LIMIT).await.unwrap();
    let now = with_new.account_keys(LIMIT).await.unwrap();
    assert_eq!(
        now.iter().map(|key| (key.id == made.id, key.disabled)).collect::<Vec<_>>(),
        [(false, true), (true, false)]
    );
    let refused = ground.clients.account_keys(LIMIT).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AuthError);
    for _ in 0..2 {
        with_new.delete_account_key(&first[0].id, LIMIT).await.unwrap();
    }
    assert_eq!(with_new.account_keys(LIMIT).await.unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_end_at_their_own_wish_and_a_second_time_too() {
    let ground = Ground::start().await;
    for platform in [Platform::Trello, Platform::Slack] {
        for _ in 0..2 {
            ground.clients.end_credential(platform, None, LIMIT).await.unwrap();
        }
        assert_eq!(ground.clients.who_am_i(platform).await.unwrap_err().code, ErrorCode::AuthError, "{platform}");
    }
    for platform in [Platform::Notion, Platform::Drive] {
        assert!(ground.clients.end_credential(platform, None, LIMIT).await.is_err(), "{platform}");
        ground.clients.who_am_i(platform).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_rotates_gets_its_next_pair_and_its_refresh_token_is_used_up() {
    let ground = Ground::start().await;
    let (id, secret, refresh) = ground.sims.notion_app();
    let mut env = ground.env.clone();
    for (name, value) in [("ID", id.as_str()), ("SECRET", secret.expose())] {
        env.insert(format!("NOTION_CLIENT_{name}"), value.to_owned());
    }
    assert!(OAuthApp::read(Platform::Notion, &env).is_none(), "two of three parts");
    env.insert("NOTION_REFRESH_TOKEN".into(), refresh.expose().to_owned());
    let app = OAuthApp::read(Platform::Notion, &env).unwrap();
    let pair = ground.clients.next_pair(Platform::Notion, &app, LIMIT).await.unwrap();
    let used = ground.clients.next_pair(Platform::Notion, &app, LIMIT).await.unwrap_err();
    assert_eq!(used.code, ErrorCode::AuthError);
    env.insert("NOTION_API_KEY".into(), pair.access.expose().to_owned());
    let clients = Clients::new(ground.sims.endpoints(), Credentials::from_env(&env), Clock::system());
    clients.who_am_i(Platform::Notion).await.unwrap();
    clients.end_credential(Platform::Notion, Some(&app), LIMIT).await.unwrap();
    assert_eq!(clients.who_am_i(Platform::Notion).await.unwrap_err().code, ErrorCode::AuthError);

    // Slack's tokens rotate once the long-lived one was exchanged.
    let (id, secret) = ground.sims.slack_app();
    let form = format!("client_id={id}&client_secret={}&token={}", secret.expose(), env["SLACK_BOT_TOKEN"]);
    let url = format!("{}/oauth.v2.exchange", ground.sims.endpoints().slack).parse().unwrap();
    let http = crate::http::Http::new(crate::http::Options::default());
    let request = http.request(crate::http::Method::POST, &url).unwrap();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let exchanged = http.send(request, None).await.unwrap().json().unwrap();
    let parts = [("CLIENT_ID", id.as_str()), ("CLIENT_SECRET", secret.expose())];
    env.extend(parts.map(|(name, value)| (format!("SLACK_{name}"), value.to_owned())));
    env.insert("SLACK_REFRESH_TOKEN".into(), exchanged["refresh_token"].as_str().unwrap().to_owned());
    let app = OAuthApp::read(Platform::Slack, &env).unwrap();
    let pair = ground.clients.next_pair(Platform::Slack, &app, LIMIT).await.unwrap();
    env.insert("SLACK_BOT_TOKEN".into(), pair.access.expose().to_owned());
    let clients = Clients::new(ground.sims.endpoints(), Credentials::from_env(&env), Clock::system());
    clients.who_am_i(Platform::Slack).await.unwrap();
    assert!(pair.refresh.expose().starts_with("xoxe-"));
}
