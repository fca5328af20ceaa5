//! Whether a request is the cluster's: Restate signs the path and the minute of each with an Ed25519 key, as a JSON web
//! token. The SDK reads the token; how the signature is verified it leaves to whoever uses it.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtVerifier};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use restate_sdk::endpoint::{Builder, Endpoint};
use ring::signature::{ED25519, UnparsedPublicKey};

/// The public half of the key that a cluster signs its requests with: `publickeyv1_...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityKey(String);

impl FromStr for IdentityKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Endpoint::builder().identity_key(text) {
            Ok(_) => Ok(IdentityKey(text.to_owned())),
            Err(error) => Err(format!("{error}; Restate logs its own when it starts, as `kid`")),
        }
    }
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Has requests refused that none of these keys signed; without a key all are served.
pub(super) fn demand(builder: Builder, keys: &[IdentityKey]) -> Builder {
    // A second worker of this process finds the same one there.
    let _ = RING.install_default();
    keys.iter().fold(builder, |builder, key| builder.identity_key(&key.0).expect("it was read as a key"))
}

/// Signatures are verified with the library that TLS uses, too; no others than Restate's are known.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: verifier,
    jwk_utils: JwkUtils::new_unimplemented(),
};

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed25519(key.clone()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Ed25519(DecodingKey);

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = UnparsedPublicKey::new(&ED25519, self.0.as_bytes());
        key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    use ring::signature::Ed25519KeyPair;
    use serde_json::{Value, json};

    use crate::clock::Clock;

    /// Two clusters: what each key is made from, and its public half as Restate writes it.
    const OWN: (u8, &str) = (7, "publickeyv1_GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB");
    const OTHER: (u8, &str) = (8, "publickeyv1_2KW2XRd9kwqet15Aha2oK3tYvd3nWbTFH1MBiRAv1BE1");

    fn cluster((seed, key): (u8, &str)) -> (Ed25519KeyPair, IdentityKey) {
        (Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), key.parse().unwrap())
    }

    /// What Restate sends along.
    fn token(pair: &Ed25519KeyPair, header: &Value, path: &str, since: i64) -> String {
        let now = Clock::system().now().0 / 1000 + since;
        let claims = json!({"aud": path, "iat": now, "nbf": now - 60, "exp": now + 60});
        let text = [header, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn answer(keys: &[IdentityKey], headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::get("http://worker/discover");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let endpoint = demand(Endpoint::builder(), keys).build();
        endpoint.handle(request.body(Body::empty()).unwrap()).status().as_u16()
    }

    #[test]
    fn only_what_a_known_cluster_signed_is_served() {
        let (pair, key) = cluster(OWN);
        let (stranger, other) = cluster(OTHER);
        let kind = json!({"typ": "JWT", "alg": "EdDSA"});
        let signed = |token: &str, keys: &[IdentityKey]| {
            answer(keys, &[("x-restate-signature-scheme", "v1"), ("x-restate-jwt-v1", token)])
        };
        let own = [key.clone()];
        let good = token(&pair, &kind, "/discover", 0);
        assert_eq!(signed(&good, &own), 200);
        assert_eq!(signed(&good, &[other.clone(), key]), 200, "one of several");
        assert_eq!(signed(&good, &[other]), 401, "another cluster's");
        assert_eq!(answer(&[], &[]), 200, "no key, no question");

        assert_eq!(answer(&own, &[]), 401, "nothing said");
        assert_eq!(answer(&own, &[("x-restate-signature-scheme", "unsigned")]), 401, "unsigned");
        assert_eq!(answer(&own, &[("x-restate-signature-scheme", "v1")]), 401, "no token");
        assert_eq!(signed(&token(&stranger, &kind, "/discover", 0), &own), 401, "signed by somebody else");
        assert_eq!(signed(&token(&pair, &kind, "/invoke/Slack/notify", 0), &own), 401, "for something else");
        assert_eq!(signed(&token(&pair, &kind, "/discover", -3600), &own), 401, "an hour old");
        for alg in ["none", "HS256", "RS256"] {
            let forged = token(&pair, &json!({"typ": "JWT", "alg": alg}), "/discover", 0);
            assert_eq!(signed(&forged, &own), 401, "{alg}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_where_to_find_one() {
        for text in ["", "publickeyv1_", "publickeyv1_0OIl", "ChjENKeMvCtRnqG2mrBK1HmPKufgFUc98K8B3ononQvp"] {
            let why = text.parse::<IdentityKey>().unwrap_err();
            assert!(why.ends_with("; Restate logs its own when it starts, as `kid`"), "{why}");
        }
        let key = "publickeyv1_ChjENKeMvCtRnqG2mrBK1HmPKufgFUc98K8B3ononQvp";
        assert_eq!(key.parse::<IdentityKey>().unwrap().to_string(), key);
    }
}
