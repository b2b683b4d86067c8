# cipe_bpf_object(cipe_xdp cipe_xdp.bpf.c HEADERS...): clang -target bpf, then a skeleton by bpftool.
# Gives the interface target cipe_xdp_skel with <cipe_xdp.skel.h>, and the variable-free path
# ${CMAKE_BINARY_DIR}/bpf/cipe_xdp.bpf.o for tests that look at the object's BTF.
find_program(CIPE_BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(CIPE_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(cipe_bpf_object name source)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CIPE_BPF_CLANG} -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror
            -ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -I${PROJECT_SOURCE_DIR}/include
            -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${source} ${ARGN}
    COMMENT "BPF ${name}")
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${CIPE_BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}
    DEPENDS ${object}
    COMMENT "BPF skeleton ${name}")
  add_custom_target(${name}_skel_files DEPENDS ${skeleton})
  add_library(${name}_skel INTERFACE)
  add_dependencies(${name}_skel ${name}_skel_files)
  target_include_directories(${name}_skel SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(${name}_skel INTERFACE PkgConfig::LIBBPF)
endfunction()
