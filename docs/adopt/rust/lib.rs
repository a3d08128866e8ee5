//! A 2-D convolution in Rust behind the C ABI of conv_subject.h, without dependencies.
//!
//! Build: rustc --edition 2021 --crate-type cdylib -O lib.rs -o libconv.so
//! Run:   verify native:./libconv.so

use std::ffi::{c_char, c_int};
use std::slice::{from_raw_parts, from_raw_parts_mut};

const CONV_OK: c_int = 0;

/// `conv2d_problem`: the same fields in the same order.
#[repr(C)]
pub struct Problem {
    batch: i64,
    groups: i64,
    in_channels: i64,
    in_height: i64,
    in_width: i64,
    out_channels: i64,
    out_height: i64,
    out_width: i64,
    kernel_height: i64,
    kernel_width: i64,
    stride_height: i64,
    stride_width: i64,
    dilation_height: i64,
    dilation_width: i64,
    pad_top: i64,
    pad_left: i64,
    pad_bottom: i64,
    pad_right: i64,
}

/// The convolution itself: safe code on slices. Sums are in f64, where products of f32 are exact.
fn forward(p: &Problem, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
    let (cg, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let mut numbers = output.iter_mut();
    for n in 0..p.batch {
        for o in 0..p.out_channels {
            for i in 0..p.out_height {
                for j in 0..p.out_width {
                    let mut sum = bias.map_or(0.0, |b| f64::from(b[o as usize]));
                    for c in 0..cg {
                        for u in 0..p.kernel_height {
                            for v in 0..p.kernel_width {
                                let channel = o / og * cg + c;
                                let row = i * p.stride_height + u * p.dilation_height - p.pad_top;
                                let column = j * p.stride_width + v * p.dilation_width - p.pad_left;
                                if (0..p.in_height).contains(&row) && (0..p.in_width).contains(&column) {
                                    let x = ((n * p.in_channels + channel) * p.in_height + row) * p.in_width + column;
                                    let k = ((o * cg + c) * p.kernel_height + u) * p.kernel_width + v;
                                    sum += f64::from(input[x as usize]) * f64::from(weight[k as usize]);
                                }
                            }
                        }
                    }
                    *numbers.next().unwrap() = sum as f32; // too large becomes infinite
                }
            }
        }
    }
}

/// # Safety
/// The pointers hold as many numbers as the problem says; `bias` may be null.
#[no_mangle]
pub unsafe extern "C" fn conv2d_forward_f32(
    problem: *const Problem,
    input: *const f32,
    weight: *const f32,
    bias: *const f32,
    output: *mut f32,
) -> c_int {
    let p = &*problem;
    let inputs = (p.batch * p.in_channels * p.in_height * p.in_width) as usize;
    let weights = (p.out_channels * (p.in_channels / p.groups) * p.kernel_height * p.kernel_width) as usize;
    let outputs = (p.batch * p.out_channels * p.out_height * p.out_width) as usize;
    let bias = if bias.is_null() { None } else { Some(from_raw_parts(bias, p.out_channels as usize)) };
    forward(p, from_raw_parts(input, inputs), from_raw_parts(weight, weights), bias, from_raw_parts_mut(output, outputs));
    CONV_OK
}

#[no_mangle]
pub extern "C" fn conv_subject_abi_version() -> i32 {
    1
}

#[no_mangle]
pub extern "C" fn conv_subject_profile() -> *const c_char {
    b"deterministic=yes shapes=all\0".as_ptr().cast()
}
