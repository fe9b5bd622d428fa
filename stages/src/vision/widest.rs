//! Compiles an inner loop twice, for the processor's baseline and for AVX2, and chooses at run time.
//!
//! Integer arithmetic and separately rounded float operations give the same bytes in both versions:
//! the choice changes the speed alone.

/// `widest! { fn name(arguments) { body } }`: the body is compiled for the baseline and for AVX2.
macro_rules! widest {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            fn baseline($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    baseline($($argument),*);
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the line above has seen that this processor has AVX2.
                    unsafe { avx2($($argument),*) };
                    return;
                }
            }
            baseline($($argument),*);
        }
    };
}
