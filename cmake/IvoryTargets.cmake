include(IvoryPlugin)  # ivory_add_plugin

# ivory_add_tests(DIRECTORY): tests/DIRECTORY/*_test.cpp -> executables by kind: unit, reference and property tests one per
# folder; integration and fault tests, which start processes, one per file, so that ctest runs them side by side. The kind
# and the folder are also the ctest labels, beside those of IVORY_TEST_LABELS. What lies in tests/data is labelled "loader" too. Parser tests of all folders
# make one executable, which .ci/run also builds with sanitizers.

function(ivory_add_test_executable target label)
  if(NOT ARGN)
    return()
  endif()
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE ${IVORY_TEST_MAIN} ${IVORY_TEST_LIBRARIES} ivory_flags GTest::gtest GTest::gmock
                        nlohmann_json::nlohmann_json)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/core/src ${PROJECT_SOURCE_DIR}/core/include
                             ${PROJECT_SOURCE_DIR}/tests)
  target_precompile_headers(${target} REUSE_FROM ${IVORY_TEST_PCH})
  target_compile_options(${target} PRIVATE ${IVORY_TEST_OPTIONS})
  if(IVORY_TEST_PLUGINS)
    add_dependencies(${target} ivory_plugins)
  endif()
  if(IVORY_TEST_DEPENDS)
    add_dependencies(${target} ${IVORY_TEST_DEPENDS})
  endif()
  add_test(NAME ${target} COMMAND ${target})
  set_tests_properties(${target} PROPERTIES LABELS "${label}" TIMEOUT 1800)
endfunction()

function(ivory_add_tests directory)
  set(folder_labels ${directory} ${IVORY_TEST_LABELS})
  if(directory STREQUAL data)
    list(APPEND folder_labels loader)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${directory}/*_test.cpp)
  set(unit ${sources})
  foreach(kind reference property integration fault parser)
    set(${kind} ${sources})
    list(FILTER ${kind} INCLUDE REGEX "_${kind}_test\\.cpp$")
    list(FILTER unit EXCLUDE REGEX "_${kind}_test\\.cpp$")
  endforeach()
  ivory_add_test_executable(${directory}_tests "unit;${folder_labels}" ${unit})
  foreach(kind reference property)
    ivory_add_test_executable(${directory}_${kind}_tests "${kind};${folder_labels}" ${${kind}})
  endforeach()
  foreach(kind integration fault)
    foreach(source ${${kind}})
      get_filename_component(name ${source} NAME_WE)
      ivory_add_test_executable(${directory}_${name} "${kind};${folder_labels}" ${source})
    endforeach()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY IVORY_PARSER_TESTS ${parser})
endfunction()
