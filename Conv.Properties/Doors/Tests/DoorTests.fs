/// Foreign subjects at the doors: examples of every language, ONNX Runtime, and runs that are ended.
namespace Conv.Properties.Tests

open System
open System.IO
open Conv.Properties
open Xunit
