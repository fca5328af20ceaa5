//! Google's access tokens: signed right, asked for once, renewed in time.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use std::sync::atomic::{AtomicUsize, Ordering};

fn read() -> Call {
    call(Platform::Sheets, ActionType::Query, json!({"range": "Log!A:D"}))
}

fn token_requests(stub: &Stub) -> usize {
    stub.lines().iter().filter(|l| *l == "POST /token").count()
}

#[tokio::test]
async fn the_request_for_a_token_is_signed() {
    let stub = Stub::start(|r| token_or(r, || ok(json!({"values": []})))).await;
    stub.clients().execute(&read()).await.unwrap();
    let requests = stub.seen.lock().unwrap().clone();
    assert_eq!(requests[1].header("authorization"), "Bearer ya29.access-secret");

    let form = String::from_utf8(requests[0].body.clone()).unwrap();
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = form.strip_prefix(grant).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let der: String = include_str!("key.base64").split_whitespace().collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();

    let part = |n: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(n).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(
        (&part(0)["alg"], &part(0)["kid"]),
        (&json!("RS256"), &json!("0123456789abcdef0123456789abcdef01234567"))
    );
    let claims = part(1);
    assert_eq!(claims["iss"], "ops@project.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("{}/token", stub.base));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn many_calls_share_one_token() {
    let stub = Stub::start(|r| {
        let answer = token_or(r, || ok(json!({"values": []})));
        if r.uri.path() == "/token" { late(answer, Duration::from_millis(50)) } else { answer }
    })
    .await;
    let clients = stub.clients();
    let call = read();
    let all = futures_util::future::join_all((0..10).map(|_| clients.execute(&call))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(token_requests(&stub), 1);
}

#[tokio::test]
async fn a_token_is_replaced_shortly_before_it_ends() {
    let stub = Stub::start(|r| token_or(r, || ok(json!({"values": []})))).await;
    let clock = Clock::system();
    let clients = stub.clients_at(clock.clone());
    clients.execute(&read()).await.unwrap();
    clock.set_offset_ms(3_500_000);
    clients.execute(&read()).await.unwrap();
    assert_eq!(token_requests(&stub), 1);
    clock.set_offset_ms(3_560_000);
    clients.execute(&read()).await.unwrap();
    assert_eq!(token_requests(&stub), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let made = AtomicUsize::new(0);
    let stub = Stub::start(move |r| match r.uri.path() {
        "/token" => {
            let n = made.fetch_add(1, Ordering::SeqCst);
            ok(json!({"access_token": format!("token-number-{n}"), "expires_in": 3599}))
        }
        _ if r.header("authorization") == "Bearer token-number-1" => ok(json!({"values": []})),
        _ => {
            answer(401, json!({"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}))
        }
    })
    .await;
    let clients = stub.clients();
    clients.execute(&read()).await.unwrap();
    assert_eq!(token_requests(&stub), 2);

    // When the new one is refused as well, that is the answer.
    let stub = Stub::start(|r| {
        token_or(r, || answer(401, json!({"error": {"message": "Invalid Credentials", "status": "UNAUTHENTICATED"}})))
    })
    .await;
    let error = stub.clients().execute(&read()).await.unwrap_err();
    assert_eq!((error.code, token_requests(&stub)), (ErrorCode::AuthError, 2));
    assert_eq!(auth_error_text(&error), "Invalid credentials");
}

#[tokio::test]
async fn a_wrong_clock_and_a_wrong_key_are_told_apart() {
    let text = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    let stub = Stub::start(move |_| answer(400, json!({"error": "invalid_grant", "error_description": text}))).await;
    let error = stub.clients().who_am_i(Platform::Drive).await.unwrap_err();
    assert!(error.message.contains("this machine's clock is wrong"), "{}", error.message);
    assert!(auth_error_text(&error).starts_with("Clock skew"));

    let mut environment = environment("http://127.0.0.1:1");
    environment.insert("GOOGLE_SERVICE_ACCOUNT_KEY".into(), "/no/such/key.json".into());
    let clients = Clients::new(Endpoints::default(), Credentials::from_env(&environment), Clock::system());
    let error = clients.who_am_i(Platform::Drive).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::AuthError);
    assert!(error.message.contains("GOOGLE_SERVICE_ACCOUNT_KEY: cannot read `/no/such/key.json`"), "{}", error.message);
}
