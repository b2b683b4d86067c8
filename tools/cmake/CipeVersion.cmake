# cipe_version.h: which build this is, for `cipectl version`. CIPE_BUILD says it (the Debian version, for
# example); else it is PROJECT_VERSION and what git says about the sources, looked at in every build. As a
# script (cmake -P) this file writes the header, and only when it changes.
if(CMAKE_SCRIPT_MODE_FILE)
  set(version "${CIPE_BUILD}")
  if(NOT version)
    set(version "${PROJECT_VERSION}")
    execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
      WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE commit RESULT_VARIABLE failed
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT failed)
      string(APPEND version "+g${commit}")
    endif()
  endif()
  file(WRITE "${HEADER}.new"
    "// Made by CipeVersion.cmake.\n#pragma once\n#define CIPE_VERSION \"${version}\"\n")
  file(COPY_FILE "${HEADER}.new" "${HEADER}" ONLY_IF_DIFFERENT)
  return()
endif()

set(CIPE_BUILD "" CACHE STRING "Version of this build, instead of what git says")
set(header ${PROJECT_BINARY_DIR}/generated/cipe_version.h)
add_custom_target(cipe_version_header
  COMMAND ${CMAKE_COMMAND} -DHEADER=${header} -DSOURCE_DIR=${PROJECT_SOURCE_DIR}
          -DPROJECT_VERSION=${PROJECT_VERSION} -DCIPE_BUILD=${CIPE_BUILD}
          -P ${CMAKE_CURRENT_LIST_FILE}
  BYPRODUCTS ${header}
  COMMENT "Which build this is"
  VERBATIM)
add_library(cipe_version INTERFACE)
add_dependencies(cipe_version cipe_version_header)
target_include_directories(cipe_version INTERFACE ${PROJECT_BINARY_DIR}/generated)
