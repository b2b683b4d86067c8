ip address flush dev wlan0
ip address add 172.16.5.9/24 dev wlan0
ip route add default via 172.16.5.1
