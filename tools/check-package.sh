#!/usr/bin/env bash
# Packs Kvcached.Kernels (built before: dotnet build -c Release) and uses the package as a project outside the tree would that has nothing else: builds against it with no
# other source of packages, looks tokens up from C# and, with the header that it carries, from C, and compares the two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dotnet pack Kvcached.Kernels -c Release --no-build -nologo -v q -o "$folder/packages"

# Not the user's cache: it may have a package of this version already.
export NUGET_PACKAGES=$folder/cache
cd "$folder"
cat >nuget.config <<'XML'
<configuration>
  <packageSources>
    <clear />
    <add key="local" value="packages" />
  </packageSources>
</configuration>
XML
cat >Outside.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <UseAppHost>false</UseAppHost>
    <OutputPath>bin</OutputPath>
    <AppendTargetFrameworkToOutputPath>false</AppendTargetFrameworkToOutputPath>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Kvcached.Kernels" Version="*" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System;
using System.Linq;
using Kvcached.Kernels;

var entries = new Heap([.. Enumerable.Range(0, 64).Select(i => (uint)i * 2654435761u)]);
var shape = new KvShape { LayerStride = 1 << 16, PlaneStride = 1 << 15, HeadStride = 256, TokenStride = 2048, TokensPerBlockShift = 4 };
var view = new SequenceView { RowStart = 3, BlockCount = 50, TokenCount = 800 };
for (var token = 0; token < 800; token++)
{
    Console.WriteLine(TableLookup.Offset(entries, view, shape, token, token % 7, token % 2, token % 8));
}

internal readonly struct Heap(uint[] entries) : IEntryTable
{
    public uint Read(uint index) => entries[index];
}
CS
cat >outside.c <<'C'
#include <kvcached.h>
#include <stdio.h>

int main(void) {
    kv_u32 entries[64];
    KvShape shape = {0};
    KvSequenceView view = {0};
    for (kv_u32 i = 0; i < 64; i++) {
        entries[i] = i * 2654435761u;
    }
    shape.layer_stride = 1 << 16;
    shape.plane_stride = 1 << 15;
    shape.head_stride = 256;
    shape.token_stride = 2048;
    shape.tokens_per_block_shift = 4;
    view.row_start = 3;
    view.block_count = 50;
    view.token_count = 800;
    for (kv_u32 token = 0; token < view.token_count; token++) {
        printf("%llu\n", kv_offset(entries, view, shape, token, token % 7, token % 2, token % 8));
    }
    return 0;
}
C

dotnet build -nologo -v q
dotnet bin/Outside.dll >csharp.txt
include=$(dotnet msbuild -nologo -getProperty:KvcachedInclude)
gcc -std=c11 -Wall -Wextra -Werror -I"$include" -o outside outside.c
./outside >c.txt
diff csharp.txt c.txt
[[ $(wc -l <c.txt) == 800 ]]

# Sources of GPU kernels find what they include, and editors the documentation.
printf '#include "sequences.h"\n#include "elements.h"\n' >kernel.cl
"${CLANG:-clang-19}" -x cuda -nocudainc -nocudalib --cuda-device-only --cuda-gpu-arch=sm_80 -Wall -Wextra -Werror -fsyntax-only -I"$include" kernel.cl
[[ -f $(echo cache/kvcached.kernels/*/lib/net10.0/Kvcached.Kernels.xml) ]]
echo "Kvcached.Kernels: a project outside the tree builds against the package; C# and C agree on $(wc -l <c.txt) lookups."
