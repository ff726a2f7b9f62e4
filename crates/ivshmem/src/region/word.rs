/// A value that one plain access reads or writes: an integer of 8 to 64 bits, or a float.
pub trait Word: Copy + Bits {}

/// Prevents other crates from implementing [`Word`]; the accesses support only the types below.
mod sealed {
    use super::super::raw::RawWord;

    pub trait Bits {
        /// The unsigned integer of the same size.
        type Raw: RawWord;
        fn into_raw(self) -> Self::Raw;
        fn from_raw(raw: Self::Raw) -> Self;
    }
}
pub(super) use sealed::Bits;

macro_rules! words {
    ($($word:ty: $raw:ty, |$value:ident| $into:expr, |$bits:ident| $from:expr;)*) => {$(
        impl Word for $word {}
        impl Bits for $word {
            type Raw = $raw;
            #[inline(always)]
            fn into_raw(self) -> $raw {
                let $value = self;
                $into
            }
            #[inline(always)]
            fn from_raw($bits: $raw) -> Self {
                $from
            }
        }
    )*};
}
words! {
    u8: u8, |v| v, |b| b;
    u16: u16, |v| v, |b| b;
    u32: u32, |v| v, |b| b;
    u64: u64, |v| v, |b| b;
    i8: u8, |v| v.cast_unsigned(), |b| b.cast_signed();
    i16: u16, |v| v.cast_unsigned(), |b| b.cast_signed();
    i32: u32, |v| v.cast_unsigned(), |b| b.cast_signed();
    i64: u64, |v| v.cast_unsigned(), |b| b.cast_signed();
    f32: u32, |v| v.to_bits(), |b| f32::from_bits(b);
    f64: u64, |v| v.to_bits(), |b| f64::from_bits(b);
}
