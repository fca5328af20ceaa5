//! A certificate that no authority signed, made when it is needed so that no key lies in the repository.

use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// A TLS server whose certificate names `host` and is signed by its own key.
pub fn self_signed(host: &str) -> Arc<rustls::ServerConfig> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("a key");

    let name = sequence(&[&tagged(0x31, &sequence(&[COMMON_NAME, &tagged(0x0c, host.as_bytes())]))]);
    let validity = sequence(&[&tagged(0x17, b"200101000000Z"), &tagged(0x17, b"490101000000Z")]);
    let public_key = sequence(&[EC_PUBLIC_KEY_P256, &bits(key.public_key().as_ref())]);
    let names = tagged(0x04, &sequence(&[&tagged(0x82, host.as_bytes())]));
    let extensions = tagged(0xa3, &sequence(&[&sequence(&[SUBJECT_ALT_NAME, &names])]));
    let version_3 = tagged(0xa0, &tagged(0x02, &[2]));
    let serial = tagged(0x02, &[1]);
    let to_sign =
        sequence(&[&version_3, &serial, ECDSA_WITH_SHA256, &name, &validity, &name, &public_key, &extensions]);
    let signature = key.sign(&random, &to_sign).expect("a signature");
    let certificate = sequence(&[&to_sign, ECDSA_WITH_SHA256, &bits(signature.as_ref())]);

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate)],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec())),
        )
        .expect("a certificate that fits its key");
    Arc::new(config)
}

/// One DER value: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..=127) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(length).expect("a short value").to_be_bytes());
        }
    }
    out.extend(content);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// A bit string of whole bytes.
fn bits(content: &[u8]) -> Vec<u8> {
    tagged(0x03, &[&[0], content].concat())
}
