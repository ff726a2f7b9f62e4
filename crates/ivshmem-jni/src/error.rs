use std::any::Any;
use std::error::Error;

use ivshmem::device::OpenError;
use ivshmem::doorbell::{ConnectionError, DoorbellError};
use ivshmem::region::MemoryError;
use ivshmem::{ErrorKind, Face};
use jni::errors::ErrorPolicy;
use jni::objects::{JThrowable, JValue};
use jni::strings::JNIString;
use jni::{Env, jni_sig, jni_str};

/// Failures of a call from Java to the library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("the {0} is closed")]
    NoSuchHandle(&'static str),
    #[error("{0}")]
    Argument(String),
    #[error("no peer has the id {0}: ids are 0 to 65535")]
    UnknownPeer(i32),
    #[error("nobody has a vector {0}: vectors are 0 to 255")]
    UnknownVector(i32),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Doorbell(#[from] DoorbellError),
    #[error("the server is gone; memory and the peers known so far go on working")]
    ServerGone(#[from] ConnectionError),
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Server(#[from] ivshmem_server::Error),
    #[cfg(not(target_os = "linux"))]
    #[error("servers run on Linux hosts only")]
    NoServer,
    #[error(transparent)]
    Jni(#[from] jni::errors::Error),
}

impl BridgeError {
    /// The error's kind, by which Java chooses the exception: the name of an [`ErrorKind`], or `Argument` for an invalid
    /// argument of the call itself.
    fn kind(&self) -> String {
        let kind = match self {
            Self::Argument(_) | Self::Open(OpenError::BadTarget { .. }) => return "Argument".to_string(),
            Self::NoSuchHandle(_) => ErrorKind::Closed,
            Self::UnknownPeer(_) => ErrorKind::UnknownPeer,
            Self::UnknownVector(_) => ErrorKind::UnknownVector,
            Self::Memory(error) => error.kind(),
            Self::Open(error) => error.kind(),
            Self::Doorbell(error) => error.kind(),
            Self::ServerGone(_) => ErrorKind::ServerGone,
            #[cfg(target_os = "linux")]
            Self::Server(error) => error.kind(),
            #[cfg(not(target_os = "linux"))]
            Self::NoServer => ErrorKind::Unsupported,
            Self::Jni(_) => ErrorKind::Io,
        };
        format!("{kind:?}")
    }

    /// The text of the error and of its causes.
    fn text(&self) -> String {
        let mut text = match self {
            Self::Open(error) => error.text(Face::Java),
            Self::Doorbell(error) => error.text(Face::Java),
            // Names Java's method, which differs from that of Rust.
            #[cfg(target_os = "linux")]
            Self::Server(ivshmem_server::Error::Down) => {
                "the server has gone down; close() tells why".to_string()
            }
            // The text contains the cause and the remedy.
            #[cfg(target_os = "linux")]
            Self::Server(error) => return error.to_string(),
            other => other.to_string(),
        };
        let mut cause = self.source();
        while let Some(error) = cause {
            let remedy = error.downcast_ref().map_or("", ivshmem::remedy);
            text = format!("{text}: {error}{remedy}");
            cause = error.source();
        }
        text
    }
}

/// The single place that converts failures to Java exceptions. Java chooses the exception's class by the error's kind.
pub(crate) struct Throw;

impl<T: Default> ErrorPolicy<T, BridgeError> for Throw {
    type Captures<'frame: 'call, 'call> = ();

    fn on_error<'frame: 'call, 'call>(
        env: &mut Env<'frame>,
        (): &mut (),
        error: BridgeError,
    ) -> jni::errors::Result<T> {
        // A pending exception has more details.
        if !env.exception_check() {
            throw(env, &error.kind(), &error.text())?;
        }
        Ok(T::default())
    }

    fn on_panic<'frame: 'call, 'call>(
        env: &mut Env<'frame>,
        (): &mut (),
        payload: Box<dyn Any + Send>,
    ) -> jni::errors::Result<T> {
        let text =
            payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        throw(env, "Panic", text.unwrap_or("it gave no reason"))?;
        Ok(T::default())
    }
}

fn throw(env: &mut Env<'_>, kind: &str, text: &str) -> jni::errors::Result<()> {
    let Err(reason) = throw_ours(env, kind, text) else { return Ok(()) };
    if env.exception_check() {
        return Ok(());
    }
    // For example when the class loader was closed before it loaded this class. A default result without an exception would
    // look like a success.
    let text = JNIString::from(format!("{text} (the exception for it cannot be made: {reason})"));
    match env.throw_new(jni_str!("java/lang/IllegalStateException"), text) {
        Err(jni::errors::Error::JavaException) => Ok(()),
        other => other,
    }
}

fn throw_ours(env: &mut Env<'_>, kind: &str, text: &str) -> jni::errors::Result<()> {
    // The class loader of the calling native method is used, which is the library's own.
    let class = env.find_class(jni_str!("io/github/alexanderschuetz97/ivshmem4j/internal/NativeFailure"))?;
    let (kind, text) = (env.new_string(kind)?, env.new_string(text)?);
    let exception = env.call_static_method(
        class,
        jni_str!("exception"),
        jni_sig!((java.lang.String, java.lang.String) -> java.lang.RuntimeException),
        &[JValue::Object(&kind), JValue::Object(&text)],
    )?;
    let exception = env.cast_local::<JThrowable>(exception.l()?)?;
    match env.throw(exception) {
        // A success: the exception is pending.
        Err(jni::errors::Error::JavaException) => Ok(()),
        other => other,
    }
}
