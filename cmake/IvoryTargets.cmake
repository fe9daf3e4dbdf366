include(IvoryPlugin)  # ivory_add_plugin

# ivory_add_tests(DIRECTORY): tests/DIRECTORY/*_test.cpp -> executables by kind (unit, reference, property, integration,
# fault, parser); the kind is also the ctest label.

function(ivory_add_test_executable target label)
  if(NOT ARGN)
    return()
  endif()
  add_executable(${target} ${ARGN} ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  target_link_libraries(${target} PRIVATE ${IVORY_TEST_LIBRARIES} ivory_flags GTest::gtest GTest::gmock nlohmann_json::nlohmann_json)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/core/src ${PROJECT_SOURCE_DIR}/tests)
  target_precompile_headers(${target} REUSE_FROM ivory_pch)
  target_compile_options(${target} PRIVATE -fPIC)  # as the precompiled header; CMake gives executables -fPIE
  if(IVORY_TEST_PLUGINS)
    add_dependencies(${target} ivory_plugins)
  endif()
  target_compile_definitions(${target} PRIVATE
    IVORY_BINARY_DIR="${PROJECT_BINARY_DIR}" IVORY_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${target} COMMAND ${target})
  set_tests_properties(${target} PROPERTIES LABELS "${label}" TIMEOUT 900)
endfunction()

function(ivory_add_tests directory)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${directory}/*_test.cpp)
  set(unit ${sources})
  foreach(kind reference property integration fault parser)
    set(${kind} ${sources})
    list(FILTER ${kind} INCLUDE REGEX "_${kind}_test\\.cpp$")
    list(FILTER unit EXCLUDE REGEX "_${kind}_test\\.cpp$")
  endforeach()
  if(unit)
    ivory_add_test_executable(${directory}_tests unit ${unit})
  endif()
  foreach(kind reference property integration fault)
    if(${kind})
      ivory_add_test_executable(${directory}_${kind}_tests ${kind} ${${kind}})
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY IVORY_PARSER_TESTS ${parser})
endfunction()
