# What `cmake --install` puts where. Modes are written out, since the umask of whoever installs may
# be anything.
set(program_mode OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${program_mode})

install(TARGETS ciped RUNTIME DESTINATION sbin PERMISSIONS ${program_mode})
install(TARGETS cipectl RUNTIME DESTINATION bin PERMISSIONS ${program_mode})

# Where both programs look unless told otherwise, whatever the prefix. Nothing in it: an empty
# directory of the sources cannot be kept in git.
install(DIRECTORY DESTINATION /etc/cipe DIRECTORY_PERMISSIONS ${program_mode})
