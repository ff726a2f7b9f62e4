//! The devices of a Linux guest.

use ivshmem::pci::{Finding, PciDevice, devices};
use jni::objects::{JClass, JObjectArray, JString};
use jni::{Env, NativeMethod, native_method};

use crate::error::{BridgeError, Throw};

pub(crate) const METHODS: &[NativeMethod] =
    &[native_method! { static fn pci_devices() -> JString[], error_policy = Throw }];

/// Number of strings for each device; a missing fact is null.
const FACTS: usize = 9;

fn pci_devices<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
) -> Result<JObjectArray<'local, JString<'local>>, BridgeError> {
    let facts: Vec<_> = devices()?.iter().flat_map(facts).collect();
    strings(env, &facts)
}

/// Converts to a Java array; `None` becomes null.
pub(crate) fn strings<'local>(
    env: &mut Env<'local>,
    facts: &[Option<String>],
) -> Result<JObjectArray<'local, JString<'local>>, BridgeError> {
    let array = JObjectArray::<JString>::new(env, facts.len(), JString::null())?;
    for (index, fact) in facts.iter().enumerate() {
        if let Some(fact) = fact {
            let fact = env.new_string(fact)?;
            array.set_element(env, index, &fact)?;
            // A guest may have more devices than a native method has local references.
            env.delete_local_ref(fact);
        }
    }
    Ok(array)
}

/// In the order that `LinuxIvshmemPCIDevice.java` expects.
fn facts(device: &PciDevice) -> [Option<String>; FACTS] {
    [
        Some(device.address().to_string()),
        Some(device.size().to_string()),
        Some(device.revision().to_string()),
        Some(device.vectors().map_or(-1, i32::from).to_string()),
        device.driver().map(str::to_string),
        device.iommu_group().map(str::to_string),
        device.memory().err().as_ref().map(named),
        device.sending().err().as_ref().map(named),
        device.receiving().err().as_ref().map(named),
    ]
}

/// Converts a finding to a Java string.
pub(crate) fn text<'local>(
    env: &mut Env<'local>,
    finding: Option<&Finding>,
) -> Result<JString<'local>, BridgeError> {
    Ok(match finding {
        Some(finding) => env.new_string(named(finding))?,
        None => JString::null(),
    })
}

/// The finding's name for programs, and its text for people.
fn named(finding: &Finding) -> String {
    format!("{}: {finding}", finding.name())
}
