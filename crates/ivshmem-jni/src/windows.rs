//! The devices of a Windows guest.

use ivshmem::windows::devices;
use jni::objects::{JClass, JObjectArray, JString};
use jni::{Env, NativeMethod, native_method};

use crate::error::{BridgeError, Throw};
use crate::pci::strings;

pub(crate) const METHODS: &[NativeMethod] =
    &[native_method! { static fn windows_devices() -> JString[], error_policy = Throw }];

/// Two strings for each device: the path of its interface, and the size of its memory in bytes.
fn windows_devices<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
) -> Result<JObjectArray<'local, JString<'local>>, BridgeError> {
    let facts: Vec<_> = devices()?
        .iter()
        .flat_map(|device| [device.path().to_string_lossy().into_owned(), device.size().to_string()])
        .map(Some)
        .collect();
    strings(env, &facts)
}
