/// How the codes of several runs make one.
module Conv.Properties.ExitCodeTests

open Xunit

[<Fact>]
let ``of several, a broken law outweighs an unsettled one, and that a conforming one`` () =
    Assert.Equal(ExitCode.Undecided, ExitCode.ofAll [])
    Assert.Equal(ExitCode.Conforms, ExitCode.ofAll [ ExitCode.Conforms; ExitCode.Conforms ])
    Assert.Equal(ExitCode.Undecided, ExitCode.ofAll [ ExitCode.Conforms; ExitCode.Undecided; ExitCode.Conforms ])
    Assert.Equal(ExitCode.Violates, ExitCode.ofAll [ ExitCode.Undecided; ExitCode.Violates ])
    Assert.Equal(ExitCode.Usage, ExitCode.ofAll [ ExitCode.Conforms; ExitCode.Usage ])

[<Theory>]
[<InlineData(0, 0)>]
[<InlineData(1, 1)>]
[<InlineData(2, 2)>]
[<InlineData(4, 4)>]
[<InlineData(3, 4)>]
[<InlineData(134, 4)>]
[<InlineData(-1, 4)>]
let ``a child that crashes settles nothing`` (child: int, code: int) =
    Assert.Equal(code, ExitCode.ofChild child)
    Assert.Equal(List.contains child [ 0; 1; 4 ], ExitCode.hasJudged child)
