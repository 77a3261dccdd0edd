//! cryptoki as programs use it. Arguments: module, token, PIN.
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::{aead::GcmParams, Mechanism};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use std::{env, error::Error, thread};

const DATA: &[u8] = b"signed by a token";
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const THREADS: usize = 8;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(session: &Session, object: ObjectHandle, types: &[AttributeType]) -> Result<Vec<String>, Box<dyn Error>> {
    let values = session.get_attributes(object, types)?;
    Ok(values
        .iter()
        .map(|value| match value {
            Attribute::Modulus(bytes) | Attribute::PublicExponent(bytes) | Attribute::EcPoint(bytes) => hex(bytes),
            other => format!("{other:?}"),
        })
        .collect())
}

fn pair(session: &Session, how: &Mechanism, more: &[Attribute]) -> Result<(ObjectHandle, ObjectHandle), Box<dyn Error>> {
    let public = [&[Attribute::Token(false), Attribute::Verify(true)], more].concat();
    Ok(session.generate_key_pair(how, &public, &[Attribute::Token(false), Attribute::Sign(true)])?)
}

fn keep(session: &Session, key_type: KeyType, value: &[u8]) -> Result<ObjectHandle, Box<dyn Error>> {
    let is_aes = key_type == KeyType::AES;
    Ok(session.create_object(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Token(false),
        Attribute::Value(value.to_vec()),
        Attribute::Encrypt(is_aes),
        Attribute::Decrypt(is_aes),
        Attribute::Sign(!is_aes),
    ])?)
}

/// Each thread has a session of its own on the one context; gives how many signed as the first did.
fn sign_in_threads(pkcs11: &Pkcs11, session: &Session, key: ObjectHandle, expected: &[u8]) -> Result<usize, Box<dyn Error>> {
    let slot = session.get_session_info()?.slot_id();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let pkcs11 = pkcs11.clone();
            let expected = expected.to_vec();
            thread::spawn(move || {
                let own = pkcs11.open_ro_session(slot)?;
                (0..100).try_fold(true, |same, _| Ok(same & (own.sign(&Mechanism::Sha256RsaPkcs, key, DATA)? == expected)))
            })
        })
        .collect();
    let results = threads.into_iter().map(|each| -> Result<bool, TokenError> { each.join().expect("no panic") });
    Ok(results.filter(|each| matches!(each, Ok(true))).count())
}

fn main() -> Result<(), Box<dyn Error>> {
    let [module, label, pin] = env::args().skip(1).collect::<Vec<_>>().try_into().expect("module, token, PIN");
    let pkcs11 = Pkcs11::new(module)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let mut slots = pkcs11.get_slots_with_token()?.into_iter();
    let slot = slots.find(|slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == label)).expect("the token");
    let session = pkcs11.open_rw_session(slot)?;
    let refused = match session.login(UserType::User, Some(&AuthPin::new("wrong".into()))) {
        Err(TokenError::Pkcs11(RvError::PinIncorrect, _)) => "CKR_PIN_INCORRECT",
        _ => "another answer",
    };
    session.login(UserType::User, Some(&AuthPin::new(pin.into())))?;

    let rsa = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
    let (public, private) = pair(&session, &Mechanism::RsaPkcsKeyPairGen, &rsa)?;
    let numbers = read(&session, public, &[AttributeType::Modulus, AttributeType::PublicExponent])?;
    let rsa_signature = session.sign(&Mechanism::Sha256RsaPkcs, private, DATA)?;
    let threads = sign_in_threads(&pkcs11, &session, private, &rsa_signature)?;

    let (public, private) = pair(&session, &Mechanism::EccKeyPairGen, &[Attribute::EcParams(P256.to_vec())])?;
    let point = read(&session, public, &[AttributeType::EcPoint])?;
    let ec_signature = session.sign(&Mechanism::EcdsaSha256, private, DATA)?;

    let aes = keep(&session, KeyType::AES, &(0..32).collect::<Vec<u8>>())?;
    let mut iv: Vec<u8> = (0..12).collect();
    let sealed = session.encrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, b"aad", 128.into())?), aes, DATA)?;
    let opened = session.decrypt(&Mechanism::AesGcm(GcmParams::new(&mut iv, b"aad", 128.into())?), aes, &sealed)?;
    let secret = keep(&session, KeyType::GENERIC_SECRET, b"a key for a code")?;
    let hmac = session.sign(&Mechanism::Sha256Hmac, secret, DATA)?;

    let fields = [("data", hex(DATA)), ("gcm", hex(&sealed)), ("opened", hex(&opened)), ("hmac", hex(&hmac))];
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": \"{value}\"")).collect();
    println!(
        "{{ {}, \"refused\": \"{refused}\", \"threads\": {threads}, \"rsa\": {{ \"n\": \"{}\", \"e\": \"{}\", \"signature\": \"{}\" }}, \"ec\": {{ \"point\": \"{}\", \"signature\": \"{}\" }} }}",
        fields.join(", "),
        numbers[0],
        numbers[1],
        hex(&rsa_signature),
        point[0],
        hex(&ec_signature),
    );
    Ok(())
}
