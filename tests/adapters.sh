#!/usr/bin/env bash
# Judges the project by other drivers than the machine's own. `tests/adapters.sh NAME..`, where NAME is
#   swiftshader  tests of operations, reference cases and training on SwiftShader, the software adapter of browsers
#   mesa         the same on the newest Mesa's lavapipe
#   units        kernels by matrix units on that one, which has them; where it cannot be fetched, that is said
#   tint         all shader modules by Tint, the compiler of most browsers, and by spirv-val; this needs no driver
#   fetch        nothing; unpacks the newest Mesa
# None: all but the last. What they need comes by apt-get and npm, once, and is unpacked under target/adapters; only node and
# npm are installed, where they lack. For Debian, and for what has its packages. CASE=text runs tests of that name alone.
set -euo pipefail
cd "$(dirname "$0")/.."
place="${CARGO_TARGET_DIR:-$PWD/target}/adapters"
mkdir -p "$place"

swiftshader="$place/chromium-common/usr/lib/chromium/vk_swiftshader_icd.json"

say() { printf '\n[%s] %s\n' "$(date +%T)" "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

update() { as_root apt-get update -qq </dev/null; }

# Unpacks a package of the machine's own release into a folder of that name.
unpack() {
    local folder="$place/$1"
    [ -e "$folder/done" ] && return
    say "fetching $1"
    rm -rf "$folder"
    mkdir -p "$folder"
    # As root, apt would hand the download to a user who may not write here. The machine's lists may be old, or none.
    local get=(apt-get -o APT::Sandbox::User="$(id -un)" download -qq "$1")
    (
        cd "$folder"
        "${get[@]}" || { update && "${get[@]}"; }
        dpkg -x "$1"_*.deb .
        rm "$1"_*.deb
    )
    touch "$folder/done"
}

# Debian's newest Mesa with all that it stands on, down to the C library, as a system of its own in a folder.
newest_mesa() {
    local own="$place/mesa"
    [ -e "$own/done" ] && return
    say 'fetching the newest Mesa'
    # Where the machine's own packages come from, there is sid.
    local mirror list=(apt-get indextargets 'Created-By: Packages' 'Label: Debian' --format '$(REPO_URI)')
    [ -n "$("${list[@]}")" ] || update
    mirror=$("${list[@]}" | head -n 1)
    rm -rf "$own"
    mkdir -p "$own"/{lists/partial,cache/archives/partial,system}
    : >"$own/status"
    echo "deb $mirror sid main" >"$own/sources"
    local options=(-qq -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1 -o Dir::State="$own"
        -o Dir::State::status="$own/status" -o Dir::Cache="$own/cache" -o Dir::Etc::SourceList="$own/sources"
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null)
    apt-get "${options[@]}" update </dev/null
    apt-get "${options[@]}" install -y --download-only --no-install-recommends mesa-vulkan-drivers libvulkan1 \
        libgcc-s1 </dev/null
    local package
    for package in "$own"/cache/archives/*.deb; do dpkg -x "$package" "$own/system"; done
    local driver=("$own"/system/usr/share/vulkan/icd.d/lvp_icd*.json)
    local library=("$own"/system/usr/lib/*/libvulkan_lvp.so)
    sed "s|\"library_path\": *\"[^\"]*\"|\"library_path\": \"${library[0]}\"|" "${driver[0]}" >"$own/lvp_icd.json"
    rm -rf "$own"/{cache,lists,*cache.bin}
    touch "$own/done"
}

# Runs what every adapter must pass on the driver of a file, and refuses a run without tests.
run_tests() (
    export VK_DRIVER_FILES="$1" VK_ICD_FILENAMES="$1" WGRAD_DEVICES=gpu
    {
        cargo test --test ops --test golden -- ${CASE:-} </dev/null
        cargo test --test library -- train:: </dev/null
        cargo test --doc mixed_precision </dev/null
    } 2>&1 | tee "$place/tests.log"
    grep -q '^test result: ok\. [1-9]' "$place/tests.log"
)

on_swiftshader() {
    unpack chromium-common
    say 'tests on SwiftShader'
    run_tests "$swiftshader"
}

# The newest Mesa wants the C library that it was built for: programs start by that one's loader.
by_mesas_loader() {
    local loader runner
    loader=$(echo "$place"/mesa/system/usr/lib/*/ld-linux-*.so.*)
    runner="CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER"
    export "$runner=$loader --library-path $(dirname "$loader")"
}

on_mesa() (
    newest_mesa
    say 'tests on the newest Mesa'
    by_mesas_loader
    run_tests "$place/mesa/lvp_icd.json"
)

# The page of the guide tells the side of their squares.
by_units() (
    # As a program of its own, which ends where a step fails.
    if ! tests/adapters.sh fetch; then
        echo 'NOT TESTED: kernels by matrix units, for which the newest Mesa is needed'
        return
    fi
    say 'matrix units on the newest Mesa'
    by_mesas_loader
    export VK_DRIVER_FILES="$place/mesa/lvp_icd.json" VK_ICD_FILENAMES="$place/mesa/lvp_icd.json"
    cargo test --doc mixed_precision -- --nocapture </dev/null 2>&1 | tee "$place/units.log"
    # A driver that is newer still may have others, or none.
    grep -q '^squares of ' "$place/units.log" || echo 'NOT TESTED: kernels by matrix units, which this Mesa does not have'
)

by_tint() {
    local lacking=()
    command -v node >/dev/null || lacking+=(nodejs)
    command -v npm >/dev/null || lacking+=(npm)
    if [ ${#lacking[@]} != 0 ]; then
        say "installing ${lacking[*]}"
        update
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${lacking[@]}" </dev/null
    fi
    [ -d "$place/npm/node_modules/webgpu" ] ||
        npm install --prefix "$place/npm" --no-save --no-audit --no-fund --loglevel=error webgpu@0.6.2 </dev/null
    local judge=spirv-val
    if ! command -v spirv-val >/dev/null; then
        unpack spirv-tools
        judge="$place/spirv-tools/usr/bin/spirv-val"
    fi
    say 'writing all shader modules'
    local shaders="$place/shaders"
    rm -rf "$shaders"
    WGRAD_SHADERS="$shaders" cargo test --test ops -- --exact shaders::every_module_is_written </dev/null
    [ -s "$shaders/index.tsv" ]
    say 'Tint'
    node tests/adapters/tint.mjs "$shaders" "$place/npm"
    say 'spirv-val'
    find "$shaders" -name '*.spv' -print0 |
        xargs -0 -P "$(nproc)" -n 1 "$judge" --target-env vulkan1.1
    echo "spirv-val: $(find "$shaders" -name '*.spv' | wc -l) entry points pass"
}

[ $# != 0 ] || set -- swiftshader mesa units tint
for name; do
    case "$name" in
    swiftshader) on_swiftshader ;;
    mesa) on_mesa ;;
    units) by_units ;;
    fetch) newest_mesa ;;
    tint) by_tint ;;
    *)
        echo "error: $name is not swiftshader, mesa, units, tint or fetch" >&2
        exit 2
        ;;
    esac
done
