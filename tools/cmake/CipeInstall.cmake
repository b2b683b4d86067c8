# What `cmake --install` puts where. Modes are written out, since the umask of whoever installs may
# be anything.
set(program_mode OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${program_mode})

install(TARGETS ciped ciped-cb RUNTIME DESTINATION sbin PERMISSIONS ${program_mode})
# One program; the name it is called by decides the cipher.
install(CODE [[
  file(CREATE_LINK ciped-cb "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/sbin/ciped-ci" SYMBOLIC)
]])
install(TARGETS cipectl RUNTIME DESTINATION bin PERMISSIONS ${program_mode})

set(CIPE_ZSH_DIRECTORY share/zsh/site-functions CACHE STRING "Where zsh looks for completion")
set(file_mode OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
install(FILES tools/completion/cipectl.bash DESTINATION share/bash-completion/completions
        RENAME cipectl PERMISSIONS ${file_mode})
install(FILES tools/completion/_cipectl DESTINATION ${CIPE_ZSH_DIRECTORY} PERMISSIONS ${file_mode})

# The HOWTO's `modprobe cipcb` succeeds and does nothing.
install(FILES share/modprobe.d/cipe.conf DESTINATION /etc/modprobe.d
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)

# Where all programs look unless told otherwise, whatever the prefix. Nothing in it: an empty
# directory of the sources cannot be kept in git.
install(DIRECTORY DESTINATION /etc/cipe DIRECTORY_PERMISSIONS ${program_mode})
