import socket

from multiprocessing import Process


def handle_client(client_socket):
    # 解析请求报文
    request_data = client_socket.recv(1024)
    request_lines = request_data.splitlines()
    request_start_line = request_lines[0]

    # 打开日志文件写入日志 这个日志文件保存在宿主机上
    with open('./log/log.txt', 'ab') as f:
        f.write(request_start_line + b'\n')

    # 构建响应
    response_start_line = "HTTP/1.1 200 OK\r\n"
    response_headers = "Server: docker server\r\n"
    response_body = "The is docker server!"
    response = response_start_line + response_headers + "\r\n" + response_body

    # 向客户端返回响应数据
    client_socket.send(bytes(response, "utf-8"))

    # 关闭客户端连接
    client_socket.close()


if __name__ == "__main__":
    server_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server_socket.bind(('0.0.0.0', 8000))
    server_socket.listen(128)

    while True:
        client_socket, client_address = server_socket.accept()
        handle_client_process = Process(target=handle_client, args=(client_socket,))
        handle_client_process.start()
        client_socket.close()
